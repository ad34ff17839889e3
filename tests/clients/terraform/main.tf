# A blue/green service as teams describe it: network, load balancer, roles, repository, parameter, service, and CodeDeploy for its releases.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {}
variable "port" { type = number }
variable "tasks" { default = 1 }
data "aws_vpc" "default" { default = true }
data "aws_subnets" "all" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}
resource "aws_vpc" "shop" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "shop" }
}
resource "aws_subnet" "a" {
  vpc_id            = aws_vpc.shop.id
  cidr_block        = "10.20.1.0/24"
  availability_zone = "ap-northeast-1a"
  map_public_ip_on_launch = true
}
resource "aws_subnet" "c" {
  vpc_id            = aws_vpc.shop.id
  cidr_block        = "10.20.2.0/24"
  availability_zone = "ap-northeast-1c"
}
resource "aws_security_group" "lb" {
  name   = "lb"
  vpc_id = aws_vpc.shop.id
  ingress {
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_security_group" "app" {
  name   = "app"
  vpc_id = aws_vpc.shop.id
  ingress {
    from_port       = 8000
    to_port         = 8000
    protocol        = "tcp"
    security_groups = [aws_security_group.lb.id]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_lb" "shop" {
  name            = "shop"
  internal        = false
  security_groups = [aws_security_group.lb.id]
  subnets         = [aws_subnet.a.id, aws_subnet.c.id]
}
resource "aws_lb_target_group" "color" {
  for_each             = toset(["blue", "green"])
  name                 = "shop-${each.key}"
  port                 = 8000
  protocol             = "HTTP"
  target_type          = "ip"
  vpc_id               = aws_vpc.shop.id
  deregistration_delay = 5
  health_check {
    path                = "/"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}
resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.shop.arn
  port              = var.port
  protocol          = "HTTP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.color["blue"].arn
  }
  lifecycle { ignore_changes = [default_action] }
}
resource "aws_iam_role" "task" {
  name = "shop-task"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ecs-tasks.amazonaws.com" } }] })
}
resource "aws_ecs_cluster" "shop" { name = "shop" }
resource "aws_cloudwatch_log_group" "shop" {
  name              = "/shop"
  retention_in_days = 7
}
resource "aws_ssm_parameter" "token" {
  name  = "/shop/token"
  type  = "SecureString"
  value = "secret"
}
resource "aws_ecr_repository" "shop" { name = "shop" }
resource "aws_ecs_task_definition" "shop" {
  family                   = "shop"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.task.arn
  container_definitions = jsonencode([{
    name         = "app", image = "web:1", essential = true, command = ["sh", "-c", "mkdir -p /www; echo 1 > /www/index.html; exec httpd -f -p 8000 -h /www"]
    portMappings = [{ containerPort = 8000 }]
    secrets      = [{ name = "TOKEN", valueFrom = aws_ssm_parameter.token.arn }]
    logConfiguration = { logDriver = "awslogs", options = { awslogs-group = "/shop", awslogs-region = "ap-northeast-1", awslogs-stream-prefix = "app" } }
  }])
}
resource "aws_ecs_service" "shop" {
  name                  = "shop"
  cluster               = aws_ecs_cluster.shop.id
  task_definition       = aws_ecs_task_definition.shop.arn
  desired_count         = var.tasks
  launch_type           = "FARGATE"
  wait_for_steady_state = true
  network_configuration {
    subnets         = [aws_subnet.a.id, aws_subnet.c.id]
    security_groups = [aws_security_group.app.id]
  }
  load_balancer {
    target_group_arn = aws_lb_target_group.color["blue"].arn
    container_name   = "app"
    container_port   = 8000
  }
  deployment_controller { type = "CODE_DEPLOY" }
  lifecycle { ignore_changes = [task_definition, load_balancer] }
  depends_on = [aws_lb_listener.http]
}
resource "aws_codedeploy_app" "shop" {
  compute_platform = "ECS"
  name             = "shop"
}
resource "aws_codedeploy_deployment_group" "shop" {
  app_name               = aws_codedeploy_app.shop.name
  deployment_group_name  = "shop"
  deployment_config_name = "CodeDeployDefault.ECSAllAtOnce"
  service_role_arn       = aws_iam_role.task.arn
  auto_rollback_configuration {
    enabled = true
    events  = ["DEPLOYMENT_FAILURE"]
  }
  blue_green_deployment_config {
    deployment_ready_option { action_on_timeout = "CONTINUE_DEPLOYMENT" }
    terminate_blue_instances_on_deployment_success {
      action                           = "TERMINATE"
      termination_wait_time_in_minutes = 0
    }
  }
  deployment_style {
    deployment_option = "WITH_TRAFFIC_CONTROL"
    deployment_type   = "BLUE_GREEN"
  }
  ecs_service {
    cluster_name = aws_ecs_cluster.shop.name
    service_name = aws_ecs_service.shop.name
  }
  load_balancer_info {
    target_group_pair_info {
      prod_traffic_route { listener_arns = [aws_lb_listener.http.arn] }
      target_group { name = aws_lb_target_group.color["blue"].name }
      target_group { name = aws_lb_target_group.color["green"].name }
    }
  }
}
output "dns" { value = aws_lb.shop.dns_name }
