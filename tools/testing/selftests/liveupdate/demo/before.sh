#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# before.sh PORT ITEMS MIB [plain]
#
# In the first kernel: starts memcached with its memory in a memfd, fills it,
# stops it, and lets the agent jump. after.sh goes on in the next kernel.

dir=${0%/*}
port=$1 items=$2 mib=$3
plain=${4:-}
cache=/tmp/cache

. "$dir/common.sh"

start_agent()
{
	"$dir/cache_agent" create $cache "$mib" ${plain:+plain} &
	agent=$!
	wait_for "the agent's memfd" test -L $cache
}

stop_memcached()
{
	mark stop
	date +%s >/vm/stopped
	kill -USR1 "$memcached"
	wait "$memcached"
	[ -n "$plain" ] || [ -s $cache.meta ] ||
		fail "memcached left no $cache.meta"
	mark stopped
}

mkdir -p "$MARKS"
uname -r >/vm/release-before
load-kernel -- "$dir/after.sh" "$port" "$items" "$mib" ${plain:+plain} ||
	fail "the next kernel cannot be loaded"
start_agent
start_memcached
"$dir/cache_client" load "$port" "$items" >/vm/loaded ||
	fail "not all items could be stored: $(cat /vm/loaded)"
"$dir/cache_client" verify "$port" "$items" >/vm/verified-before ||
	fail "the cache is not whole: $(cat /vm/verified-before)"
stop_memcached
kill -USR1 "$agent"
wait "$agent"
fail "the kernel did not change"
