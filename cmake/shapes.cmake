# AWS shapes and dispatch tables, generated from botocore's models (scripts/gen_shapes.py) into the build folder when CMake
# configures; it does so again whenever an operations.txt, a model of our own or the generator changes.
# Headers appear as "aws/gen/<service>/<operation>.h"; WATARI_SHAPE_SOURCES are to be compiled into the room aws.
set(WATARI_GENERATED ${CMAKE_BINARY_DIR}/generated)
set(WATARI_PYTHON ${CMAKE_SOURCE_DIR}/.tools/python/bin/python)
if(NOT EXISTS ${WATARI_PYTHON})
  message(FATAL_ERROR "${WATARI_PYTHON} is missing: run scripts/setup first")
endif()
file(GLOB shape_inputs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/aws/*/operations.txt ${CMAKE_SOURCE_DIR}/src/aws/*/service.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${shape_inputs} ${CMAKE_SOURCE_DIR}/scripts/gen_shapes.py
             ${CMAKE_SOURCE_DIR}/scripts/aws_models.py ${CMAKE_SOURCE_DIR}/scripts/requirements.txt)
execute_process(COMMAND ${WATARI_PYTHON} ${CMAKE_SOURCE_DIR}/scripts/gen_shapes.py ${CMAKE_SOURCE_DIR} ${WATARI_GENERATED}
                OUTPUT_VARIABLE shape_sources RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE)
if(failed)
  message(FATAL_ERROR "AWS shapes could not be generated (see above)")
endif()
string(REPLACE "\n" ";" WATARI_SHAPE_SOURCES "${shape_sources}")
