# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2034,SC2154
#
# What before.sh and after.sh share. They set $port, $mib, $cache and $agent.

export MARKS=/vm/marks

fail()
{
	echo "demo: $*"
	exit 1
}

# The host reads the time of a moment off the file's time stamp
mark()
{
	echo "demo: $1" >/dev/kmsg
	echo >"$MARKS/$1"
}

# wait_for WHAT COMMAND...: until it succeeds, while the agent lives
wait_for()
{
	what=$1
	shift
	until "$@"; do
		kill -0 "$agent" 2>/dev/null || fail "no $what"
		sleep 0.1
	done
}

start_memcached()
{
	memcached -u root -l 127.0.0.1 -p "$port" -U 0 -m "$mib" -t 2 \
		-e "$cache" >>/vm/memcached.log 2>&1 &
	memcached=$!
}
