# `cmake --install`: the header, the library with its SONAME, and what pkg-config and CMake need to find them.
include(CMakePackageConfigHelpers)

install(TARGETS talk2dino EXPORT talk2dino LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/talk2dino.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

configure_file(cmake/talk2dino.pc.in talk2dino.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/talk2dino.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT talk2dino FILE talk2dinoConfig.cmake NAMESPACE talk2dino::
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/talk2dino)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/talk2dinoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/talk2dinoConfigVersion.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/talk2dino)
