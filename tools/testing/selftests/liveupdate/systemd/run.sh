#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What scripts/systemd-test has done in each of three kernels, by a unit of the
# systemd that runs there: starts the services whose state has come, looks at the
# update as systemd and the kernel tell of it, and has systemd go to the next kernel.
# Each kernel prints its part of the TAP.
#
# luo.kernel=N on the kernel's command line is the number of this one, from 1 on.

tests=19
least=262
read -r cmdline </proc/cmdline
sysfs=/sys/kernel/liveupdate

# option NAME: its value on the kernel's command line
option()
{
	echo "$cmdline" | tr ' ' '\n' | sed -n "s/^$1=//p" | tail -n 1
}

kernel=$(option luo.kernel)
variant=$(option KERNEL)

# result NAME STATUS
result()
{
	local number
	number=$(($(cat /vm/number 2>/dev/null) + 1))
	echo $number >/vm/number
	if [ "$2" = 0 ]; then
		echo "ok $number $1-$kernel"
	else
		echo "not ok $number $1-$kernel"
	fi
}

# is NAME HAVE WANTED
is()
{
	[ "$2" = "$3" ] || echo "# $1 is '$2', not '$3'"
	[ "$2" = "$3" ]
	result "$1" $?
}

# service UNIT WHAT: starts it once, which ends when all was looked at
service()
{
	systemctl set-environment WHAT="$2" NUMBER="$kernel" SLOWER="$(option SLOWER)"
	systemctl start "$1"
	result "$2" $?
}

# How many descriptors systemd holds for a unit
held()
{
	systemctl show -P NFileDescriptorStore "$1"
}

version()
{
	systemctl --version | awk 'NR == 1 { print int($2) }'
}

release()
{
	uname -r | sed 's/.*-//'
}

# What systemd said about the update, other than that it went well
complaints()
{
	journalctl -b -q -o cat -p warning -t systemd | grep -i -e luo -e liveupdate \
		-e 'fd store' | sed 's/^/# /'
}

quiet()
{
	complaints >/run/complaints
	cat /run/complaints
	[ ! -s /run/complaints ]
	result quiet $?
}

# The entry as a boot loader would have it: systemd loads its default, and the
# command line may not have a copy of what the kernel adds by itself
write_entry()
{
	local entries=/run/boot-loader-entries image
	image=bzImage${variant:+-$variant}
	[ "$kernel" != 1 ] || image=$image-b
	mkdir -p $entries/loader/entries
	cp "/build/$image" $entries/ || return
	cat >$entries/loader/entries/next.conf <<-END
	title   the next kernel
	linux   /$image
	options $(echo "$cmdline" | sed "s/luo\.kernel=$kernel/luo.kernel=$((kernel + 1))/")
	END
}

give_up()
{
	echo "Bail out! $*"
	echo 1 >/vm/status
	systemctl --no-block poweroff
	exit 1
}

go_on()
{
	write_entry || give_up "no entry for the next kernel"
	sync
	systemctl kexec 2>&1 | sed 's/^/# /'
	[ "$(cat /sys/kernel/kexec_loaded)" = 1 ] || give_up "no kernel is loaded"
}

first()
{
	rm -f /vm/number
	echo TAP version 13
	echo "1..$tests"
	echo "# $(systemctl --version | head -n 1) on $(uname -r)"
	[ "$(version)" -ge $least ]
	result "systemd-$least" $?
	service luo-keep keep
	is held "$(held luo-keep)" 8
	service luo-sessions put
	go_on
}

came()
{
	is count "$(systemctl show -P KExecCount)" $((kernel - 1))
	is number "$(cat $sysfs/number)" $((kernel - 1))
	quiet
	service luo-keep keep
	service luo-sessions take
}

second()
{
	is release "$(release)" b
	came
	service luo-sessions put
	go_on
}

third()
{
	is release "$(release)" a
	came
	is state "$(cat $sysfs/state)" normal
	is quarantined "$(cat $sysfs/quarantined)" 0
	echo 0 >/vm/status
	systemctl --no-block poweroff
}

case $kernel in
1)	first ;;
2)	second ;;
3)	third ;;
*)	give_up "no luo.kernel=N on the command line" ;;
esac
