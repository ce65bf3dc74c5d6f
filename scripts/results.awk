# SPDX-License-Identifier: GPL-2.0-only
#
# How tap.awk and kunit.awk, which read it after this file, print the result of
# a test: "VERDICT NAME", and behind a FAIL what had been said since the result before,
# at most SAID_MAX lines of it: "said TEXT".

BEGIN { SAID_MAX = 8 }

function say(text)
{
	said[++lines] = text
}

function result(verdict, name,		i)
{
	print verdict, name
	i = lines > SAID_MAX ? lines - SAID_MAX : 0
	while (verdict == "FAIL" && i++ < lines)
		print "said", said[i]
	lines = 0
	ran++
}
