#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# mainline.sh [NUMBER]
#
# Runs mainline's own selftests that go through a live update, unmodified, one
# after another, and jumps for each: with -s 1 before, and with -s 2 in the next
# kernel. NUMBER is the test whose second stage is due. Each kernel prints its part
# of the TAP.
#
# scripts/selftests builds them from the base, where the base has them.

tests="luo_kexec_simple luo_multi_session luo_stress_files luo_stress_sessions"
programs=/build/selftests/mainline-tests
number=${1:-0}

# Their output is not TAP, and counts only where a test fails
stage()
{
	"$programs/$1" -s "$2" >"/tmp/$1" 2>&1 </dev/null && return
	echo "# stage $2 on $(uname -r):"
	sed 's/^/# /' "/tmp/$1"
	return 1
}

name_of()
{
	echo "$tests" | cut -d ' ' -f "$1"
}

second_stage()
{
	local name result=ok
	name=$(name_of "$number")
	stage "$name" 2 || result="not ok"
	echo "$result $number $name"
}

# Comes back only when the test has failed
first_stage()
{
	local name
	name=$(name_of "$number")
	stage "$name" 1 && live-update "$0" "$number"
	echo "not ok $number $name"
}

if [ ! -d "$programs" ]; then
	echo "1..0 # SKIP the base does not have them"
	exit 0
fi
if [ "$number" = 0 ]; then
	echo TAP version 13
	echo 1..4
else
	second_stage
fi
while [ "$number" -lt 4 ]; do
	number=$((number + 1))
	first_stage
done
