// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: encoding, checking and decoding the handover
 *
 * The format is in include/linux/kho/abi/luo.h. Everything here works on memory
 * that the caller gives, and on nothing else, so that it can be tested with any
 * input. No other file knows about flattened device trees.
 */

#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/libfdt.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "luo_internal.h"

static int encode_item(void *fdt, const char *kind, unsigned int index,
		       const struct luo_item *item)
{
	char name[sizeof("subsystem@4294967295")];

	snprintf(name, sizeof(name), "%s@%x", kind, index);
	return fdt_begin_node(fdt, name) ?:
	       fdt_property_string(fdt, "compatible", item->compatible) ?:
	       fdt_property_u64(fdt, LUO_FDT_DATA, item->data) ?:
	       fdt_property_u64(fdt, LUO_FDT_COUNT, item->count) ?:
	       fdt_end_node(fdt);
}

static int encode_items(void *fdt, const char *parent, const char *kind,
			const struct luo_items *items)
{
	unsigned int i;
	int err;

	err = fdt_begin_node(fdt, parent);
	for (i = 0; !err && i < items->nr; i++)
		err = encode_item(fdt, kind, i, &items->items[i]);

	return err ?: fdt_end_node(fdt);
}

static int encode_stamps(void *fdt, const struct luo_root *root)
{
	return fdt_property_u64(fdt, LUO_FDT_COUNTER_KHZ, root->counter_khz) ?:
	       fdt_property_u64(fdt, LUO_FDT_REBOOT_AT, root->reboot_at) ?:
	       fdt_property_u64(fdt, LUO_FDT_HANDOVER_AT, root->handover_at);
}

static int encode_sessions(void *fdt, const struct luo_root *root)
{
	return fdt_begin_node(fdt, LUO_FDT_SESSIONS) ?:
	       fdt_property_string(fdt, "compatible",
				   LUO_FDT_SESSIONS_COMPATIBLE) ?:
	       fdt_property_u64(fdt, LUO_FDT_SESSIONS_COUNT,
				root->nr_sessions) ?:
	       fdt_property_u64(fdt, LUO_FDT_SESSIONS_FIRST, root->sessions) ?:
	       fdt_end_node(fdt);
}

/* Nearly always there is nothing, and no node */
static int encode_unknown(void *fdt, const struct luo_root *root)
{
	return root->unknown.nr ? encode_items(fdt, LUO_FDT_UNKNOWN,
					       LUO_FDT_ROOT, &root->unknown) :
				  0;
}

static int encode_tree(void *fdt, size_t size, const struct luo_root *root)
{
	return fdt_create(fdt, size) ?:
	       fdt_finish_reservemap(fdt) ?:
	       fdt_begin_node(fdt, "") ?:
	       fdt_property_string(fdt, "compatible", LUO_FDT_COMPATIBLE) ?:
	       fdt_property_u64(fdt, LUO_FDT_NUMBER, root->number) ?:
	       fdt_property_string(fdt, LUO_FDT_RELEASE, root->release) ?:
	       fdt_property_u32(fdt, LUO_FDT_CHECKSUM, 0) ?:
	       encode_stamps(fdt, root) ?:
	       encode_items(fdt, LUO_FDT_SUBSYSTEMS, LUO_FDT_SUBSYSTEM,
			    &root->subsystems) ?:
	       encode_items(fdt, LUO_FDT_FLBS, LUO_FDT_FLB, &root->flbs) ?:
	       encode_sessions(fdt, root) ?:
	       encode_unknown(fdt, root) ?:
	       fdt_end_node(fdt) ?:
	       fdt_finish(fdt);
}

/* CRC of the tree with the value of its checksum property, at @sum, as zero */
static u32 tree_crc(const void *fdt, const void *sum)
{
	const size_t before = sum - fdt;
	const size_t after = before + sizeof(__be32);
	const __be32 zero = 0;
	u32 crc;

	crc = crc32c(0, fdt, before);
	crc = crc32c(crc, &zero, sizeof(zero));
	return crc32c(crc, fdt + after, fdt_totalsize(fdt) - after);
}

static size_t nr_items(const struct luo_root *root)
{
	return root->subsystems.nr + root->flbs.nr + root->unknown.nr;
}

/**
 * luo_root_size - bytes that the root of a handover takes at most
 * @root: the root
 *
 * Return: the size.
 */
size_t luo_root_size(const struct luo_root *root)
{
	/* Tests see to it that this is enough */
	return 1024 + 192 * nr_items(root);
}

/**
 * luo_root_encode - write the root of a handover
 * @fdt:  where to
 * @size: bytes there
 * @root: what to write
 *
 * Return: 0, -ENOSPC when @size is not enough, or -E2BIG when there is more to hand
 * over than %LUO_FDT_ITEMS_MAX.
 */
int luo_root_encode(void *fdt, size_t size, const struct luo_root *root)
{
	__be32 *sum;

	if (nr_items(root) > LUO_FDT_ITEMS_MAX)
		return -E2BIG;
	if (encode_tree(fdt, size, root))
		return -ENOSPC;

	sum = fdt_getprop_w(fdt, 0, LUO_FDT_CHECKSUM, NULL);
	*sum = cpu_to_be32(tree_crc(fdt, sum));

	return 0;
}

static const void *decode_prop(const void *fdt, int node, const char *name,
			       int size)
{
	const void *value;
	int len;

	value = fdt_getprop(fdt, node, name, &len);
	return value && len == size ? value : NULL;
}

static int decode_u64(const void *fdt, int node, const char *name, u64 *to)
{
	const void *value = decode_prop(fdt, node, name, sizeof(__be64));

	if (!value)
		return -EUCLEAN;

	*to = get_unaligned_be64(value);
	return 0;
}

/* Whether a property of @len bytes is a text, which ends with its only NUL */
static bool is_plain(const char *value, int len)
{
	return len > 0 && strnlen(value, len) == len - 1 &&
	       luo_string_is_plain(value);
}

/* What is not of the version that is known: is it of another one, or damaged? */
static int check_version(const void *fdt, int node, const char *prefix)
{
	const char *compatible;
	int len;

	compatible = fdt_getprop(fdt, node, "compatible", &len);
	return compatible && len <= LIVEUPDATE_COMPATIBLE_LENGTH &&
	       is_plain(compatible, len) && strstarts(compatible, prefix) ?
	       -EPROTONOSUPPORT : -EUCLEAN;
}

static int decode_release(const void *fdt, struct luo_root *root)
{
	const char *release;
	int len;

	release = fdt_getprop(fdt, 0, LUO_FDT_RELEASE, &len);
	if (!release || len > LUO_RELEASE_LENGTH || !is_plain(release, len))
		return -EUCLEAN;

	memcpy(root->release, release, len);
	return 0;
}

/* The child of the root that has exactly this name, and not "name@7" */
static int find_child(const void *fdt, const char *name)
{
	const char *other;
	int node;

	fdt_for_each_subnode(node, fdt, 0) {
		other = fdt_get_name(fdt, node, NULL);
		if (other && !strcmp(other, name))
			return node;
	}

	return node;
}

static int decode_sessions(const void *fdt, struct luo_root *root)
{
	int node = find_child(fdt, LUO_FDT_SESSIONS);

	if (node < 0)
		return -EUCLEAN;
	if (fdt_node_check_compatible(fdt, node, LUO_FDT_SESSIONS_COMPATIBLE))
		return check_version(fdt, node, LUO_FDT_SESSIONS_COMPATIBLE_PREFIX);

	return decode_u64(fdt, node, LUO_FDT_SESSIONS_COUNT,
			  &root->nr_sessions) ?:
	       decode_u64(fdt, node, LUO_FDT_SESSIONS_FIRST, &root->sessions);
}

/* Whoever looks for items takes time for each, and for some walks again at each */
static int check_items(const void *fdt)
{
	int parent, node, nr = 0;

	fdt_for_each_subnode(parent, fdt, 0) {
		fdt_for_each_subnode(node, fdt, parent) {
			if (++nr > LUO_FDT_ITEMS_MAX)
				return -EUCLEAN;
		}
	}

	return 0;
}

static int decode_stamps(const void *fdt, struct luo_root *root)
{
	return decode_u64(fdt, 0, LUO_FDT_COUNTER_KHZ, &root->counter_khz) ?:
	       decode_u64(fdt, 0, LUO_FDT_REBOOT_AT, &root->reboot_at) ?:
	       decode_u64(fdt, 0, LUO_FDT_HANDOVER_AT, &root->handover_at);
}

static int check_tree(const void *fdt, size_t size)
{
	const __be32 *sum;

	/* The rest of libfdt stays within the size that the header tells */
	if (size < sizeof(struct fdt_header) || fdt_check_header(fdt) ||
	    fdt_totalsize(fdt) > size)
		return -EUCLEAN;
	if (fdt_node_check_compatible(fdt, 0, LUO_FDT_COMPATIBLE))
		return check_version(fdt, 0, LUO_FDT_COMPATIBLE_PREFIX);

	sum = decode_prop(fdt, 0, LUO_FDT_CHECKSUM, sizeof(*sum));
	if (!sum || get_unaligned_be32(sum) != tree_crc(fdt, sum))
		return -EUCLEAN;

	return 0;
}

/**
 * luo_root_decode - check the root of a handover and read it
 * @fdt:  the tree, which is not trusted; aligned to 8 bytes
 * @size: bytes of it that can be read
 * @root: to fill; all zero if this fails
 *
 * Return: 0; -EPROTONOSUPPORT when it is of a version that this kernel does not
 * know, and there is no telling whether it is damaged; -EUCLEAN when it is no device
 * tree, its checksum is wrong, something in it is missing or malformed, or it has more
 * than %LUO_FDT_ITEMS_MAX items.
 */
int luo_root_decode(const void *fdt, size_t size, struct luo_root *root)
{
	int err;

	memset(root, 0, sizeof(*root));
	err = check_tree(fdt, size) ?:
	      decode_u64(fdt, 0, LUO_FDT_NUMBER, &root->number) ?:
	      decode_release(fdt, root) ?:
	      decode_stamps(fdt, root) ?:
	      decode_sessions(fdt, root) ?:
	      check_items(fdt);
	if (err)
		memset(root, 0, sizeof(*root));

	return err;
}

static int decode_item(const void *fdt, int node, struct luo_item *item)
{
	const char *compatible;
	int len;

	compatible = fdt_getprop(fdt, node, "compatible", &len);
	if (!compatible || len < 2 || len > sizeof(item->compatible) ||
	    !is_plain(compatible, len))
		return -EUCLEAN;

	memcpy(item->compatible, compatible, len);
	return decode_u64(fdt, node, LUO_FDT_DATA, &item->data) ?:
	       decode_u64(fdt, node, LUO_FDT_COUNT, &item->count);
}

static int first_item(const void *fdt, const char *parent)
{
	int node = find_child(fdt, parent);

	return node < 0 ? node : fdt_first_subnode(fdt, node);
}

/**
 * luo_item_next - go from item to item of a root
 * @fdt:    a tree that luo_root_decode() took
 * @parent: %LUO_FDT_SUBSYSTEMS, %LUO_FDT_FLBS or %LUO_FDT_UNKNOWN
 * @cursor: 0 to begin with
 * @item:   to fill
 *
 * Items that are malformed are passed over.
 *
 * Return: true if there was one.
 */
bool luo_item_next(const void *fdt, const char *parent, int *cursor,
		   struct luo_item *item)
{
	int node;

	/* Finding the parent takes a walk, so it is done once for all items */
	if (*cursor)
		node = fdt_next_subnode(fdt, *cursor);
	else
		node = first_item(fdt, parent);
	for (; node > 0; node = fdt_next_subnode(fdt, node)) {
		*cursor = node;
		*item = (struct luo_item){ .node = node };
		if (!decode_item(fdt, node, item))
			return true;
	}

	return false;
}

/**
 * luo_root_version - tell what a root says that it is
 * @fdt:  a tree that luo_root_decode() found to be of an unknown version
 * @item: to fill in its @compatible
 */
void luo_root_version(const void *fdt, struct luo_item *item)
{
	const char *version = fdt_getprop(fdt, 0, "compatible", NULL);

	strscpy_pad(item->compatible, version);
}

/**
 * luo_item_find - find an item of a root
 * @fdt:        a tree that luo_root_decode() took, or NULL
 * @parent:     %LUO_FDT_SUBSYSTEMS, %LUO_FDT_FLBS or %LUO_FDT_UNKNOWN
 * @compatible: of the item
 * @item:       to fill
 *
 * Return: true if there is one.
 */
bool luo_item_find(const void *fdt, const char *parent, const char *compatible,
		   struct luo_item *item)
{
	int cursor = 0;

	while (fdt && luo_item_next(fdt, parent, &cursor, item)) {
		if (!strcmp(item->compatible, compatible))
			return true;
	}

	return false;
}

/**
 * luo_item_is_first - whether an item is the one of its name that counts
 * @fdt:    a tree that luo_root_decode() took
 * @parent: %LUO_FDT_SUBSYSTEMS or %LUO_FDT_FLBS
 * @item:   that luo_item_next() filled
 *
 * Return: false if there is another one of the same name before it.
 */
bool luo_item_is_first(const void *fdt, const char *parent,
		       const struct luo_item *item)
{
	struct luo_item first;

	return luo_item_find(fdt, parent, item->compatible, &first) &&
	       first.node == item->node;
}

static u32 session_ser_crc(const struct luo_session_ser *ser)
{
	return crc32c(0, ser, offsetof(struct luo_session_ser, crc));
}

/**
 * luo_session_ser_fill - write the record of a session
 * @ser:       where to
 * @name:      of the session
 * @files:     physical address of the first block of its files, or 0
 * @nr_files:  number of its files
 * @files_crc: checksum of their records
 */
void luo_session_ser_fill(struct luo_session_ser *ser, const char *name,
			  u64 files, u64 nr_files, u32 files_crc)
{
	memset(ser, 0, sizeof(*ser));
	strscpy_pad(ser->compatible, LUO_SESSION_COMPATIBLE);
	strscpy_pad(ser->name, name);
	ser->files = files;
	ser->nr_files = nr_files;
	ser->files_crc = files_crc;
	ser->crc = session_ser_crc(ser);
}

/**
 * luo_session_ser_check - see whether the record of a session can be used
 * @ser: the record, which is not trusted
 *
 * Return: 0; -EPROTONOSUPPORT when it is of a version that this kernel does not
 * know; -EUCLEAN when its checksum is wrong, its name is none or it is no record of a
 * session.
 */
int luo_session_ser_check(const struct luo_session_ser *ser)
{
	if (strncmp(ser->compatible, LUO_SESSION_COMPATIBLE,
		    sizeof(ser->compatible)))
		return luo_compatible_fits(ser->compatible,
					   sizeof(ser->compatible)) &&
		       strstarts(ser->compatible, LUO_SESSION_COMPATIBLE_PREFIX) ?
		       -EPROTONOSUPPORT : -EUCLEAN;
	if (ser->crc != session_ser_crc(ser) ||
	    !luo_string_fits(ser->name, sizeof(ser->name)))
		return -EUCLEAN;

	return 0;
}

/**
 * luo_file_ser_check - see whether the record of a file can be used
 * @ser: the record, which is not trusted
 *
 * Return: 0, or -EUCLEAN when its compatible string is none.
 */
int luo_file_ser_check(const struct luo_file_ser *ser)
{
	return luo_compatible_fits(ser->compatible, sizeof(ser->compatible)) ?
	       0 : -EUCLEAN;
}
