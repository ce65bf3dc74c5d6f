# SPDX-License-Identifier: GPL-2.0-only
#
# How tap.awk and kunit.awk, which read it after this file, print the result of
# a test: "VERDICT NAME"; and that of a run which did not do what it had planned:
# "early REASON".  Behind a FAIL and the latter comes what had been said since the result
# before, at most SAID_MAX lines of it: "said TEXT".

BEGIN { SAID_MAX = 8 }

function say(text)
{
	said[++lines] = text
}

function tell(		i)
{
	for (i = lines > SAID_MAX ? lines - SAID_MAX + 1 : 1; i <= lines; i++)
		print "said", said[i]
}

function result(verdict, name)
{
	print verdict, name
	if (verdict == "FAIL")
		tell()
	lines = 0
	ran++
}

function early(reason)
{
	print "early " reason
	tell()
}
