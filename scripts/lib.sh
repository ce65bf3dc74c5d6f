# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# What the scripts share: paths, messages, progress.  Source it, do not run it.
#
# Environment: BUILD, folder of everything that is made (default build/);
# V=1 shows all output of the long steps; KERNEL, which kernel: the usual one, or
# one that has configs/KERNEL.config over the usual configuration: distro, small,
# noswap, or debug and kcsan, which look for faults; SLOWER, how many times longer than
# usual the VMs may take.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD:-$top/build}
stamps=$build/.stamps
logs=$build/logs
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/liveupdate
verbose=${V:-0}
jobs=${JOBS:-$(nproc)}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# No script ends without a word; one that another one called has said it
trap 'failed_at "$?" "$LINENO" "$BASH_COMMAND"' ERR
set -E

failed_at()
{
	case $3 in
	*scripts/*) ;;
	*) say "${0##*/}: line $2 ended with status $1: $3" ;;
	esac
}

# What the names of a kernel's tree, images and runs end with
variant=${KERNEL:+-$KERNEL}

# How many times longer than with the usual kernel things may take, and whether it
# looks for faults, and so takes more memory and tells what leaked
searching=
case ${KERNEL:-} in
'' | small | noswap)
	slower=${SLOWER:-1} ;;
distro)	slower=${SLOWER:-2} ;;
debug)	slower=${SLOWER:-4} searching=1 ;;
kcsan)	slower=${SLOWER:-10} searching=1 ;;
*)	echo "KERNEL=$KERNEL: there are only distro, small, noswap, debug and kcsan" >&2
	exit 1 ;;
esac

# Folders of the repository that lie over those of the kernel tree
overlay_folders=(arch Documentation drivers fs include kernel lib mm samples
		 tools virt)

# shellcheck source=../base.conf
. "$top/base.conf"

say()
{
	progress_end
	printf '%s\n' "$*" >&2
}

warn()
{
	say "warning: $*"
}

die()
{
	say "${0##*/}: $*"
	exit 1
}

# A line that moves on a terminal; elsewhere one plain line in 20 seconds.
progress()
{
	if [ -t 2 ]; then
		printf '\r\033[K%.*s' "$((${COLUMNS:-80} - 1))" "$*" >&2
		progress_open=1
	elif ((SECONDS - ${progress_last:--20} >= 20)); then
		printf '%s\n' "$*" >&2
		progress_last=$SECONDS
	fi
}

progress_end()
{
	[ -z "${progress_open:-}" ] || printf '\r\033[K' >&2
	progress_open=
}

# logged NAME COMMAND...: the output goes to build/logs/NAME.log, and what
# matters of it is shown when the command fails.
logged()
{
	local log=$logs/$1.log
	shift
	mkdir -p "$logs"
	if [ "$verbose" = 1 ]; then
		"$@" 2>&1 | tee "$log" >&2
		return
	fi
	"$@" >"$log" 2>&1 || show_failure "$log"
}

# show_failure LOG: the errors in it, or else its end, on stderr
show_failure()
{
	progress_end
	{ grep -E -B1 -A4 '(error|Error|warning):|\*\*\*|No space left' "$1" ||
		tail -n 15 "$1"; } | tail -n 40 >&2
	say "(all of it: $1)"
	return 1
}

# One run at a time may change what lies under build/.
lock_build()
{
	[ -z "${LUO_BUILD_LOCKED:-}" ] || return 0
	mkdir -p "$build" "$stamps" "$logs"
	exec 9>"$build/.lock"
	if ! flock -n 9; then
		say "waiting for another build in $build"
		flock 9
	fi
	export LUO_BUILD_LOCKED=1
}

# need_space FOLDER MIB: dies when less is free
need_space()
{
	local free
	free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	((free >= $2)) ||
		die "disk full: $1 has $free MiB free, $2 MiB are needed"
}

# Archives that the host gets Debian from; the first that has the suite wins
debian_sites()
{
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null |
		awk '$2 == "main" && $1 ~ /^https?:/ && $1 !~ /security/ &&
		     !seen[$1]++ { print $1 }'
}

# stamp NAME [VALUE]: reads or sets a remembered value
stamp()
{
	if (($# == 1)); then
		cat "$stamps/$1" 2>/dev/null || true
		return
	fi
	mkdir -p "$stamps"
	printf '%s\n' "$2" >"$stamps/$1.new"
	mv "$stamps/$1.new" "$stamps/$1"
}
