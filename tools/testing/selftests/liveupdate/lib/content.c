// SPDX-License-Identifier: GPL-2.0-only
/*
 * Content that can be checked without the original: every aligned 64-bit word
 * is a function of the seed and of its place in the file, so that a page that
 * is missing, stale, or at the wrong place is told from a right one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "luo_lib.h"

/* Threads work at the same time, each in buffers of its own */
#define CHUNK		(256 * KIB)

/* The finalizer of splitmix64, a permutation of the 64-bit numbers */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint64_t word_at(uint64_t offset, uint64_t seed)
{
	return mix(mix(seed) + offset / 8);
}

/* What belongs at @offset of a file, for those who write through a mapping */
void content_generate(void *to, uint64_t offset, size_t len, uint64_t seed)
{
	unsigned char *buf = to;
	uint64_t word = 0;
	size_t i = 0;

	while (i < len) {
		unsigned int skip = (offset + i) % 8;
		size_t n = 8 - skip;

		if (n > len - i)
			n = len - i;
		word = word_at(offset + i, seed);
		memcpy(buf + i, (unsigned char *)&word + skip, n);
		i += n;
	}
}

static size_t chunk(uint64_t left)
{
	return left < CHUNK ? left : CHUNK;
}

/* Everything is written or read, or it is an error */
static int transfer(int fd, unsigned char *buf, size_t len, uint64_t offset,
		    bool out)
{
	while (len) {
		ssize_t n = out ? pwrite(fd, buf, len, offset) :
				  pread(fd, buf, len, offset);

		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		buf += n;
		len -= n;
		offset += n;
	}
	return 0;
}

int content_fill(int fd, uint64_t offset, uint64_t len, uint64_t seed)
{
	static __thread unsigned char buf[CHUNK];
	int err;

	while (len) {
		size_t n = chunk(len);

		content_generate(buf, offset, n, seed);
		err = transfer(fd, buf, n, offset, true);
		if (err)
			return err;
		offset += n;
		len -= n;
	}
	return 0;
}

/* Says where the difference is: that tells a lost page from a shifted file */
static int differs(uint64_t offset, const unsigned char *have,
		   const unsigned char *want, size_t len)
{
	size_t i = 0;

	while (i < len && have[i] == want[i])
		i++;
	printf("# byte %llu is 0x%02x, not 0x%02x\n",
	       (unsigned long long)(offset + i), have[i], want[i]);
	return -EILSEQ;
}

static int check(int fd, uint64_t offset, uint64_t len, const uint64_t *seed)
{
	static __thread unsigned char have[CHUNK], want[CHUNK];
	int err;

	memset(want, 0, sizeof(want));
	while (len) {
		size_t n = chunk(len);

		err = transfer(fd, have, n, offset, false);
		if (err)
			return err;
		if (seed)
			content_generate(want, offset, n, *seed);
		if (memcmp(have, want, n))
			return differs(offset, have, want, n);
		offset += n;
		len -= n;
	}
	return 0;
}

/* 0, or -EILSEQ where the content is not that of content_fill() */
int content_check(int fd, uint64_t offset, uint64_t len, uint64_t seed)
{
	return check(fd, offset, len, &seed);
}

int content_check_zero(int fd, uint64_t offset, uint64_t len)
{
	return check(fd, offset, len, NULL);
}

/* FNV-1a over all bytes of the file, whatever they are */
int content_hash(int fd, uint64_t *hash)
{
	static __thread unsigned char buf[CHUNK];
	uint64_t h = 0xcbf29ce484222325ULL;
	uint64_t offset = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), offset)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			h = (h ^ buf[i]) * 0x100000001b3ULL;
		offset += n;
	}
	*hash = h;
	return n < 0 ? -errno : 0;
}

/* A memfd of @len bytes that are all written */
int memfd_filled(const char *name, unsigned int flags, uint64_t len,
		 uint64_t seed)
{
	int fd = memfd_create(name, flags);
	int err;

	if (fd < 0)
		return -errno;
	err = ftruncate(fd, len) ? -errno : content_fill(fd, 0, len, seed);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}
