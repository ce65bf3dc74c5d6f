#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# after.sh PORT ITEMS MIB [plain]
#
# In the next kernel: gets the cache back, starts memcached on it, and reads
# every item. After a plain kexec there is nothing to get back.

dir=${0%/*}
port=$1 items=$2 mib=$3
plain=${4:-}
cache=/tmp/cache

. "$dir/common.sh"

mark up
uname -r >/vm/release-after
if [ -n "$plain" ]; then
	"$dir/cache_agent" create $cache "$mib" plain &
else
	"$dir/cache_agent" restore $cache &
fi
agent=$!
wait_for "the cache's memfd" test -L $cache

# memcached takes its memory back when it has been down for 3 seconds
while [ $(($(date +%s) - $(cat /vm/stopped))) -lt 3 ]; do
	sleep 0.1
done
start_memcached
"$dir/cache_client" verify "$port" "$items" >/vm/verified-after
[ $? -le 1 ] || fail "memcached does not answer"
mark verified
kill "$memcached" "$agent"
exit 0
