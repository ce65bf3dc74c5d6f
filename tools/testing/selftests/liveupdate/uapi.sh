#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# All tests that need one kernel only, one program after the other. Every test
# has a line of its own; the exit status is there for a program that dies
# before it has said anything.

dir=${0%/*}
status=0

for program in uapi_session uapi_events uapi_watch uapi_files uapi_memfd uapi_faults uapi_scale; do
	"$dir/$program" || status=1
done
exit $status
