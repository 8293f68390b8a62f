# Shared by demo, test/run and .ci/run; sourced from the repository root.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# Installs the Debian packages that tools/packages.txt lists for a group ("" is the build itself) and that are missing.
install_packages() {
  local groups=" build $* " missing=() group package probe
  while read -r -a row; do
    [[ ${#row[@]} -eq 0 || ${row[0]} == \#* ]] && continue
    if [[ ${#row[@]} -eq 3 ]]; then group=${row[0]} package=${row[1]} probe=${row[2]}; else group=build package=${row[0]} probe=${row[1]}; fi
    [[ $groups == *" $group "* ]] || continue
    case $probe in
      cmd:*) command -v "${probe#cmd:}" >/dev/null || missing+=("$package") ;;
      file:*) [[ -e ${probe#file:} || -n $(compgen -G "/usr/include/*-linux-gnu/${probe#file:/usr/include/}") ]] || missing+=("$package") ;;
      py:*) /usr/bin/python3 -c "import ${probe#py:}" 2>/dev/null || missing+=("$package") ;;
    esac
  done <tools/packages.txt
  [[ ${#missing[@]} -eq 0 ]] && return 0
  local root=()
  if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      say "missing packages, and neither root nor sudo to install them: apt-get install ${missing[*]}"
      return 1
    fi
    root=(sudo)
  fi
  say "installing ${missing[*]}"
  "${root[@]}" apt-get update -qq >&2
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# Configures (once) and builds targets in a build folder: build FOLDER "CMAKE OPTIONS" TARGET...
build() {
  local folder=$1 options=$2
  shift 2
  # shellcheck disable=SC2086
  [[ -f $folder/build.ninja ]] || cmake -S . -B "$folder" -G Ninja $options >&2
  cmake --build "$folder" --target "$@" >&2
}

# Unpacks the libraries that tools/packages.txt lists by a header, and what they depend on, for arm64 into a folder. Packages come
# from the machine's own sources; apt keeps its state apart, so that nothing is installed here and no root is needed.
unpack_arm64() {
  local folder=$1 state packages archive status=0
  [[ -e $folder/complete ]] && return 0
  state=$(mktemp -d)
  mkdir -p "$state"/{lists,archives}/partial
  : >"$state/status"
  mapfile -t packages < <(sed -nE 's|^(test )?([^ #]+) file:/usr/include/.*|\2|p' tools/packages.txt)
  local apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
    -o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state")
  say "unpacking ${packages[*]} for arm64"
  rm -rf "$folder"
  mkdir -p "$folder"
  "${apt[@]}" update >&2 && "${apt[@]}" install -y --no-install-recommends --download-only "${packages[@]}" >&2 || status=1
  for archive in "$state"/archives/*.deb; do dpkg -x "$archive" "$folder" || status=1; done
  [[ $status -ne 0 ]] || touch "$folder/complete"
  rm -rf "$state"
  return $status
}
