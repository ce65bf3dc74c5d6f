#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# uapi.sh [PROGRAM...]: the tests that need one kernel only, one program after the
# other, by default all. Every test has a line of its own; the exit status is there
# for a program that dies before it has said anything.

dir=${0%/*}
status=0

[ $# -gt 0 ] || set -- uapi_session uapi_events uapi_watch uapi_files uapi_announce \
	uapi_batch uapi_memfd uapi_torture uapi_permissions uapi_limits uapi_faults uapi_scale

for program; do
	"$dir/$program" || status=1
done
exit $status
