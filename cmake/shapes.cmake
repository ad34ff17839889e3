# Generation of AWS shapes from botocore's models; filled in by src/aws.
