# SPDX-License-Identifier: GPL-2.0-only
#
# Reads the TAP of one run of test programs; prints one line per test:
#	ok NAME | FAIL NAME | skip NAME
# with "said" lines as in results.awk; and, when the run did not do what it had planned, "early REASON": what it said
# when it gave up, if it did.
# Several plans, of several programs, add up.

/^1\.\.[0-9]+/ {
	split($1, plan, /\.\./)
	planned += plan[2]
	plans++
	lines = 0
	if (plan[2] == 0 && /SKIP/) {
		planned++
		result("skip", "all")
	}
	next
}

/^(not )?ok [0-9]+/ {
	verdict = /^not/ ? "FAIL" : "ok"
	if (/# *SKIP/)
		verdict = "skip"
	sub(/^(not )?ok [0-9]+ *(- )?/, "")
	# kselftest has the name of a skipped test behind that word
	sub(/^# *SKIP +/, "")
	sub(/ *# .*/, "")
	gsub(/[[:space:]]+/, "_")
	result(verdict, $0 == "" ? "test" (ran + 1) : $0)
}

/^#/ {
	sub(/^# */, "")
	say($0)
	next
}

/^Bail out!/ {
	sub(/^Bail out! */, "")
	reason = $0
	next
}

END {
	if (reason)
		early(reason)
	else if (!ran)
		early("no test ran")
	else if (plans && planned != ran)
		early("planned " planned " tests, ran " ran)
}
