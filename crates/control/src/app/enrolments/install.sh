#!/bin/sh
# Makes this host an environment of a Berth. It fetches the program that the control plane runs, compares it with the SHA-256 that it
# was given, and has that program do the rest: `berth dtma join`. `berth env enrol NAME` prints the line that calls this.
#
# All of it is one function that the last line calls: a download that was cut off does nothing.
set -eu

berth_say() {
    printf '%s\n' "$*" >&2
}

# What is wrong, and what to do.
berth_fail() {
    berth_say "✗ $1"
    shift
    for hint; do
        berth_say "  $hint"
    done
    exit 1
}

berth_fetch() {
    # The program is known by its SHA-256 and nothing secret is sent, so a certificate that only its key vouches for may do here.
    if command -v curl >/dev/null 2>&1; then
        if [ -n "$pin" ]; then
            curl -fsSL --retry 3 --insecure --pinnedpubkey "$pin" -o "$2" "$1"
        else
            curl -fsSL --retry 3 -o "$2" "$1"
        fi
    elif command -v wget >/dev/null 2>&1; then
        if [ -n "$pin" ]; then
            wget -q --no-check-certificate -O "$2" "$1"
        else
            wget -q -O "$2" "$1"
        fi
    else
        berth_fail 'neither `curl` nor `wget` is on this host' 'install one of them, and run the line again'
    fi
}

berth_enrol() {
    url= pin= sha256= token= data= proxy= packages= clear= missing= service=
    while [ $# -gt 0 ]; do
        case $1 in
        --insecure-http) clear=1 ;;
        --install-missing) missing=1 ;;
        --no-service) service=no ;;
        --url | --pin | --sha256 | --token | --data | --proxy | --packages)
            [ $# -gt 1 ] || berth_fail "\`$1\` needs a value" 'copy the whole line that `berth env enrol NAME` prints'
            case $1 in
            --url) url=${2%/} ;;
            --pin) pin=$2 ;;
            --sha256) sha256=$2 ;;
            --token) token=$2 ;;
            --data) data=$2 ;;
            --proxy) proxy=$2 ;;
            --packages) packages=$2 ;;
            esac
            shift
            ;;
        *) berth_fail "\`$1\` is nothing that this script knows" 'copy the whole line that `berth env enrol NAME` prints' ;;
        esac
        shift
    done
    if [ -z "$url" ] || [ -z "$sha256" ] || [ -z "$token" ]; then
        berth_fail '`--url`, `--sha256` and `--token` are all needed' 'copy the whole line that `berth env enrol NAME` prints'
    fi
    [ "$(id -u)" -eq 0 ] || berth_fail 'this must be run as root' 'write `sudo sh` in the place of `sh` in the line, and run it again'
    [ "$(uname -s)" = Linux ] || berth_fail "this is $(uname -s); Berth's host agent runs on Linux"
    case $(uname -m) in
    x86_64 | amd64) arch=x86_64 ;;
    aarch64 | arm64) arch=aarch64 ;;
    *) berth_fail "Berth has no program for $(uname -m)" 'take a host with an x86_64 or an aarch64 processor' ;;
    esac

    # Both programs that may fetch know it by these; whatever is on a command line others can read.
    if [ -n "$proxy" ]; then
        export http_proxy="$proxy" https_proxy="$proxy" BERTH_PROXY="$proxy"
    fi

    dir=$(mktemp -d) || berth_fail 'no temporary directory can be made' 'make room in /tmp, or set TMPDIR to another directory'
    trap 'rm -rf "$dir"' EXIT
    trap 'exit 1' HUP INT TERM
    berth_fetch "$url/enrol/berth-linux-$arch" "$dir/berth" || berth_fail \
        "$url gave no program for $arch" \
        'see that this host reaches the control plane at that address, and that both have the same architecture'
    printf '%s  %s\n' "$sha256" "$dir/berth" | sha256sum -c >/dev/null 2>&1 || berth_fail \
        'what the control plane gave is not the program that the line names; it was not run' \
        'it may have been upgraded since: `berth env enrol NAME` prints another line' \
        'if that says the same, somebody between changes what passes'
    berth_say "✓ fetched Berth's program for $arch, its SHA-256 is right"
    chmod 700 "$dir/berth"
    "$dir/berth" --version >/dev/null 2>&1 || berth_fail \
        "the program does not start in $dir" \
        'a disk that is mounted `noexec` runs none: set TMPDIR to a directory on another, and run the line again'

    set -- --control-url "$url" --token-file -
    [ -z "$pin" ] || set -- "$@" --tls-pin "$pin"
    [ -z "$packages" ] || set -- "$@" --packages "$packages"
    [ -z "$data" ] || set -- "$@" --data "$data"
    [ -z "$clear" ] || set -- "$@" --insecure-http
    [ -z "$missing" ] || set -- "$@" --install-missing
    [ -z "$service" ] || set -- "$@" --no-service
    # Only this shell, which ends, has the token among its arguments.
    printf '%s\n' "$token" | "$dir/berth" dtma join "$@"
}

berth_enrol "$@"
