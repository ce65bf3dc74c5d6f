# SPDX-License-Identifier: GPL-2.0-only
#
# What one can ask for.  Each target gets what it lacks, or says what is
# missing.  V=1 shows everything that runs.
#
#   make kernel     build/bzImage, build/bzImage-b; the tree is build/linux
#   make demo       a live update of a memcached (PLAIN=1: a plain kexec)
#   make test       all tests; T='GLOB...' chooses by name
#   make test-systemd  whether systemd keeps its descriptor store over live updates
#   make test-all   all tests on the usual kernel, on debug and on distro, and the above
#   make fuzz       hands over nonsense for SECONDS=600 to the code that reads it
#   make bench      cost against mainline's; T='GLOB...' chooses, ROUNDS=3 rounds
#   make check      static checks of our files
#   make shell      an interactive VM
#   make stock      build/bzImage-stock, the base without the overlay
#   make clean      remove build/
#
# KERNEL_SRC=DIR  take the kernel tree in DIR as the base
# ACCEL=kvm       run the VMs with KVM instead of emulation
# KERNEL=debug    the kernel that looks for faults (KASAN, leaks, ...), for make
#                 kernel, test, demo and shell
# KERNEL=kcsan    the one that looks for data races
# KERNEL=distro   one that is configured as distributions configure theirs
# KERNEL=small    one without swap, nodes and memory cgroups
# KERNEL=noswap   the same, but with nodes

export V KERNEL_SRC ACCEL PLAIN KERNEL ROUNDS BUDGET BIG

help:
	@sed -n '/^#   make/,/^$$/s/^# \{0,1\}//p' Makefile

kernel:
	@scripts/kernel

stock:
	@scripts/kernel --stock

shell:
	@scripts/shell

demo:
	@scripts/demo

test:
	@set -f; scripts/test $(T)

test-systemd:
	@scripts/test systemd

test-all:
	@TEST_ALL=1 scripts/test
	@KERNEL=distro scripts/test
	@KERNEL=debug scripts/test

bench:
	@set -f; scripts/bench $(T)

fuzz:
	@scripts/fuzz $(SECONDS)

check:
	@scripts/check

clean:
	rm -rf build

.PHONY: help kernel stock shell demo test test-systemd test-all bench fuzz check clean
