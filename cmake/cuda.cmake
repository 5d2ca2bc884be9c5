# The CUDA machine.  T2D_CUDA=AUTO: when nvcc is found; ON: or it is an error; OFF: not at all.
#
# Out: T2D_CUDA_SOURCES and T2D_CUDA_TARGETS for the room t2d_machines, empty without CUDA; the static library
# t2d_cuda_kernels, for every chip; and the ctest tests ptxas_<file>: no spills, no local memory, no need of libstdc++;
# registers and shared memory printed.
set(T2D_CUDA AUTO CACHE STRING "CUDA kernels: ON, OFF, or AUTO (when nvcc is found)")
set_property(CACHE T2D_CUDA PROPERTY STRINGS AUTO ON OFF)
# Machine code runs on chips of the same major version from its own minor on; PTX of the oldest covers the rest.
set(T2D_CUDA_ARCHITECTURES "80;86;89;90a;100;120;ptx" CACHE STRING "chips the kernels are built for")
set(T2D_HAVE_CUDA FALSE)
set(T2D_CUDA_SOURCES)
set(T2D_CUDA_TARGETS)
if(T2D_CUDA STREQUAL "OFF")
  return()
endif()

# nvcc 12.8 or later, with cuBLASLt and the static runtime; nvcc may be a link or a script somewhere else: it says itself
# where its toolkit is.
function(t2d_find_toolkit problem)
  find_program(T2D_NVCC nvcc HINTS $ENV{CUDACXX} $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(NOT T2D_NVCC)
    set(${problem} "no nvcc (say where with -DT2D_NVCC=/path/to/nvcc)" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${T2D_NVCC} --version OUTPUT_VARIABLE version ERROR_QUIET)
  execute_process(COMMAND ${T2D_NVCC} --dryrun -x cu /dev/null OUTPUT_VARIABLE dryrun ERROR_VARIABLE dryrun)
  if(NOT version MATCHES "release ([0-9.]+)" OR CMAKE_MATCH_1 VERSION_LESS 12.8)
    set(${problem} "${T2D_NVCC} is older than 12.8 or does not answer" PARENT_SCOPE)
    return()
  elseif(NOT dryrun MATCHES "TOP=([^\n]+)")
    set(${problem} "${T2D_NVCC} does not say where its toolkit is" PARENT_SCOPE)
    return()
  endif()
  get_filename_component(root ${CMAKE_MATCH_1} REALPATH)
  string(REGEX REPLACE ".*release ([0-9]+).*" "\\1" major "${version}")
  foreach(file include/cublasLt.h include/cuda_runtime_api.h lib64/libcudart_static.a)
    if(NOT EXISTS ${root}/${file})
      set(${problem} "no ${file} in ${root} (install the toolkit's cuBLAS and runtime)" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(T2D_CUDA_ROOT ${root} PARENT_SCOPE)
  set(T2D_CUDA_MAJOR ${major} PARENT_SCOPE)
endfunction()

set(t2d_problem)
t2d_find_toolkit(t2d_problem)
if(t2d_problem AND T2D_CUDA STREQUAL "ON")
  message(FATAL_ERROR "T2D_CUDA=ON, but: ${t2d_problem}")
elseif(t2d_problem)
  message(STATUS "CUDA: ${t2d_problem}: a build for CPUs alone; the kernels are tested on the emulator")
  return()
endif()
set(T2D_HAVE_CUDA TRUE)
message(STATUS "CUDA: ${T2D_NVCC}, toolkit in ${T2D_CUDA_ROOT}")

# nvcc is called directly: enable_language(CUDA) would hand it the project's options for C, and costs every configure
# seconds.  Errors: any warning, spills, local memory.  The host part needs no libstdc++.
set(T2D_NVCC_FLAGS -std=c++17 -O3 -lineinfo -Werror=all-warnings -Xptxas=-warn-spills,-warn-lmem-usage
  -Xcompiler=-Wall,-Wextra,-fPIC,-fvisibility=hidden,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics
  -I${PROJECT_SOURCE_DIR}/kernels -I${PROJECT_SOURCE_DIR}/host -I${PROJECT_SOURCE_DIR}/include)

set(t2d_gencode)
foreach(arch ${T2D_CUDA_ARCHITECTURES})
  if(arch STREQUAL "ptx")
    list(APPEND t2d_gencode -gencode=arch=compute_80,code=compute_80)
  else()
    list(APPEND t2d_gencode -gencode=arch=compute_${arch},code=sm_${arch})
  endif()
endforeach()

# t2d_cuda_library(name file.cu ...): a static library.
function(t2d_cuda_library name)
  set(objects)
  foreach(file ${ARGN})
    get_filename_component(stem ${file} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}_${stem}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${T2D_NVCC} ${T2D_NVCC_FLAGS} ${t2d_gencode} --threads=2 -MD -MF ${object}.d -MT ${object}
        -c ${file} -o ${object}
      DEPENDS ${file} DEPFILE ${object}.d COMMENT "nvcc ${stem}.cu" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  add_library(${name} STATIC ${objects})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(${name} INTERFACE ${T2D_CUDA_ROOT}/lib64/libcudart_static.a dl pthread rt)
endfunction()

file(GLOB t2d_cuda_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
t2d_cuda_library(t2d_cuda_kernels ${t2d_cuda_files})

file(GLOB T2D_CUDA_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.c)
add_library(t2d_cuda_toolkit INTERFACE)
target_include_directories(t2d_cuda_toolkit SYSTEM INTERFACE ${T2D_CUDA_ROOT}/include)
target_compile_definitions(t2d_cuda_toolkit INTERFACE T2D_HAVE_CUDA=1 T2D_CUDA_LIBRARIES="${T2D_CUDA_ROOT}/lib64")
set(T2D_CUDA_TARGETS t2d_cuda_toolkit t2d_cuda_kernels)

if(BUILD_TESTING)
  foreach(file ${t2d_cuda_files})
    get_filename_component(stem ${file} NAME_WE)
    add_test(NAME ptxas_${stem} COMMAND ${PROJECT_SOURCE_DIR}/tests/simt/ptxas.sh ${T2D_NVCC} ${file} ${T2D_NVCC_FLAGS})
    set_tests_properties(ptxas_${stem} PROPERTIES LABELS "simt;ptxas")
  endforeach()
endif()
