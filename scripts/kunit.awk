# SPDX-License-Identifier: GPL-2.0-only
#
# Reads a kernel's console after KUnit ran; prints one line per test case, as
# tap.awk does.  A case is a result inside a suite; the parameters of a case,
# one level further in, count as one.  Of a suite, only the failure to start
# one is told, because its cases' failures speak for themselves.

/^1\.\.[0-9]+/ {
	split($1, plan, /\.\./)
	suites += plan[2]
}

/^    # Subtest: / {
	suite = $3
	cases = failed = 0
	open = 1
	next
}

/^    1\.\.[0-9]+/ && open {
	split($1, plan, /\.\./)
	planned += plan[2]
	lines = 0
	next
}

/^    (not )?ok [0-9]+ / {
	verdict = /^ *not/ ? "FAIL" : "ok"
	if (/# *SKIP/)
		verdict = "skip"
	failed += verdict == "FAIL"
	sub(/^ *(not )?ok [0-9]+ (- )?/, "")
	sub(/ *# .*/, "")
	result(verdict, suite "." $1)
	cases++
	next
}

/^    / && open {
	sub(/^ *(# )?/, "")
	say($0)
}

/^(not )?ok [0-9]+ / {
	if (open && /^not/ && !failed)
		print "FAIL", suite
	open = 0
	ended++
}

END {
	if (!ran)
		early("no test case ran")
	else if (open)
		early(suite " did not end")
	else if (planned != ran)
		early("planned " planned " cases, ran " ran)
	else if (suites != ended)
		early("planned " suites " suites, ran " ended)
}
