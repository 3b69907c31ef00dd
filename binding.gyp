{
  # For a build under sanitizers: node-gyp rebuild -- -Dashlar_sanitize=address,undefined
  'variables': {'ashlar_sanitize%': ''},
  'target_defaults': {
    'include_dirs': ['native'],
    # Node's own defaults ask for an older standard and leave warnings off; ours come last and win.
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fexceptions', '-frtti'],
    'cflags_cc': [
      '-std=c++20', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden',
      '-Wall', '-Wextra', '-Wshadow', '-Wconversion', '-Werror',
    ],
    'cflags!': ['-O3', '-Wno-unused-parameter'],
    'cflags': ['-O2', '-g', '-fPIC'],
    'conditions': [
      ['ashlar_sanitize!=""', {
        'cflags': ['-fsanitize=<(ashlar_sanitize)', '-fno-omit-frame-pointer'],
        'ldflags': ['-fsanitize=<(ashlar_sanitize)'],
      }],
    ],
  },
  'targets': [
    {
      # Everything but the door to JavaScript: what the addon and the C++ tests
      # (test/native/Makefile) share.
      'target_name': 'ashlar_core',
      'type': 'static_library',
      'standalone_static_library': 1,
      'sources': ["<!@(find native -name '*.cc' -not -path 'native/addon/*' | LC_ALL=C sort)"],
    },
    {
      'target_name': 'ashlar',
      'dependencies': ['ashlar_core'],
      'sources': ["<!@(find native/addon -name '*.cc' | LC_ALL=C sort)"],
      'defines': ['NAPI_VERSION=8', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
      # As a system directory, so that our warnings judge our code only.
      'cflags_cc': ["-isystem <!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")"],
      'libraries': ['-l:liburing.a'],
      # The archive's symbols and ours stay private: another addon may carry its own liburing.
      'ldflags': ['-Wl,--exclude-libs,ALL', '-Wl,--as-needed'],
    },
  ],
}
