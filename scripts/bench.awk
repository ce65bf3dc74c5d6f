# SPDX-License-Identifier: GPL-2.0-only
#
# bench.awk GOALS RESULTS.CSV: the table that make bench prints, from the results
# of all rounds. GOALS is described there; the columns of the other are
# round,kernel,case,measure,n,value,unit, with a unit that ends in + for more than
# that, and - for a value where there is none.
#
# With -v csv=FILE the table also goes there, with plain numbers, and with
# -v medians=FILE all medians: kernel,measure,n,median,unit.

BEGIN {
	layout = "%-48s %9s %12s %12s %9s  %-9s %s\n"
}

FNR == 1 { input++ }

input == 1 && !/^#/ && NF {
	rows++
	measure[rows] = $1
	against[rows] = $2
	at[rows] = $3
	goal[rows] = $4
	title[rows] = $5
	for (i = 6; i <= NF; i++)
		title[rows] = title[rows] " " $i
}

input == 2 && FNR > 1 {
	split($0, f, ",")
	add(f[2] SUBSEP f[4] SUBSEP f[5], f[6], f[7])
	counts[f[4], f[5]]
	kernels[f[2]]
}

function add(key, value, u)
{
	if (value == "-") {
		cannot[key] = u
		return
	}
	unit[key] = u
	if (sub(/\+$/, "", unit[key]))
		more[key] = 1
	values[key, ++nr[key]] = value + 0
}

# The middle one, or the mean of the two in the middle
function median(key,    i, j, v, n, sorted)
{
	n = nr[key]
	for (i = 1; i <= n; i++) {
		v = values[key, i]
		for (j = i; j > 1 && sorted[j - 1] > v; j--)
			sorted[j] = sorted[j - 1]
		sorted[j] = v
	}
	return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function thousands(x)
{
	x = sprintf("%d", x)
	while (x ~ /[0-9][0-9][0-9][0-9]/)
		x = gensub_one(x)
	return x
}

function gensub_one(x,    place)
{
	place = match(x, /[0-9][0-9][0-9](,|$)/)
	return substr(x, 1, place - 1) "," substr(x, place)
}

function human(key,    m, text)
{
	if (!(key in nr))
		return key in cannot ? cannot[key] : "-"
	m = median(key)
	if (unit[key] == "us")
		text = m < 1e3 ? m " us" : m < 1e6 ? sprintf("%.1f ms", m / 1e3) : sprintf("%.2f s", m / 1e6)
	else
		text = m < 1024 ? m " B" : m < 1048576 ? sprintf("%.1f KiB", m / 1024) : sprintf("%.1f MiB", m / 1048576)
	return (key in more ? "> " : "") text
}

function fraction(text,    f)
{
	split(text, f, "/")
	return f[2] ? f[1] / f[2] : f[1] + 0
}

# What ours is divided by, as the key of its results; or nothing
function other(row, n,    f)
{
	split(against[row], f, ":")
	if (f[1] == "each" || f[1] == "-")
		return ""
	return f[1] SUBSEP (f[2] ? f[2] : measure[row]) SUBSEP n
}

# The ratio, or nothing where there is none
function ratio(row, n, ours,    f, base)
{
	split(against[row], f, ":")
	base = f[1] == "each" ? "ours" SUBSEP measure[row] SUBSEP f[2] : other(row, n)
	if (!(ours in nr) || !(base in nr) || ours in more)
		return ""
	if (f[1] == "each")
		return more[base] ? "" : (median(ours) / n) / (median(base) / f[2])
	return median(base) > 0 ? median(ours) / median(base) : ""
}

function verdict(row, n, ours, r)
{
	if (n != at[row])
		return ""
	if (goal[row] ~ /^max=/)
		return !(ours in nr) ? "not known" : median(ours) <= substr(goal[row], 5) + 0 ? "reached" : "MISSED"
	if (r == "")
		return ours in more ? "MISSED" : "not known"
	if (r <= fraction(goal[row]))
		return "reached"
	# What stock took longer than this is not known
	return other(row, n) in more ? "not known" : "MISSED"
}

function goal_text(row, n)
{
	if (n != at[row])
		return ""
	if (goal[row] !~ /^max=/)
		return "<= " goal[row]
	return sprintf("<= %d KiB", substr(goal[row], 5) / 1024)
}

function number(key)
{
	return key in nr ? median(key) (key in more ? "+" : "") : key in cannot ? cannot[key] : ""
}

function line(row, n,    ours, base, r, sign)
{
	ours = "ours" SUBSEP measure[row] SUBSEP n
	base = other(row, n)
	if (!(ours in nr || ours in cannot || base in nr || base in cannot))
		return
	r = ratio(row, n, ours)
	sign = base in more ? "< " : ""
	printf layout, (n == first ? title[row] : ""), thousands(n),
	       base == "" ? "" : human(base), human(ours),
	       r == "" ? "" : sign sprintf("%.3g", r), goal_text(row, n),
	       verdict(row, n, ours, r)
	first = ""
	verdicts[verdict(row, n, ours, r)]++
	if (csv)
		printf "%s,%s,%s,%s,%s,%s,%s,%s\n", measure[row], n,
		       against[row], number(base), number(ours), r,
		       n == at[row] ? goal[row] : "", verdict(row, n, ours, r) >csv
}

# The numbers that a row has, in ascending order
function numbers(row, list,    key, f, i, j, n, of)
{
	split(against[row], of, ":")
	n = 0
	for (key in counts) {
		split(key, f, SUBSEP)
		if (f[1] != measure[row] || (of[1] == "each" && f[2] <= of[2] + 0))
			continue
		for (j = ++n; j > 1 && list[j - 1] > f[2] + 0; j--)
			list[j] = list[j - 1]
		list[j] = f[2] + 0
	}
	return n
}

function write_medians(    kernel, key, f)
{
	print "kernel,measure,n,median,unit" >medians
	for (key in nr) {
		if (key in more)
			continue
		split(key, f, SUBSEP)
		print f[1] "," f[2] "," f[3] "," median(key) "," unit[key] >medians
	}
}

END {
	if (csv)
		print "measure,n,against,other,ours,ratio,goal,verdict" >csv
	printf layout, "", "N", "other", "ours", "ratio", "goal", ""
	for (row = 1; row <= rows; row++) {
		nr_list = numbers(row, list)
		first = list[1]
		for (i = 1; i <= nr_list; i++)
			line(row, list[i])
	}
	if (medians)
		write_medians()
	printf "%d goals reached, %d missed, %d not known\n",
	       verdicts["reached"], verdicts["MISSED"], verdicts["not known"]
}
