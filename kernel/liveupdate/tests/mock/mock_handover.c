// SPDX-License-Identifier: GPL-2.0
/*
 * Test double: a handover that can be damaged
 *
 * /sys/kernel/debug/liveupdate-handover lets user space at the handover when it is
 * complete and the jump has not taken place yet:
 *
 *   hold	write 1, and the next kexec waits at its last station; then it reads
 *		as 2. Write 0, and it goes on.
 *   root	physical address and size, in bytes, of the root of the handover
 *   kho	physical addresses of KHO's own tree and of the root of its memory map
 *   memory	physical memory, to be read and written within a page
 *   split	write a number, and the map of memory that the next image gets has the
 *		last range of memory in so many entries
 *
 * Built in, as what it needs of kexec is not for modules.
 */

#include <linux/debugfs.h>
#include <linux/io.h>
#include <linux/kexec.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/kho/abi/luo.h>
#include <linux/libfdt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#ifdef CONFIG_X86
#include <asm/e820/api.h>
#endif

/* Values of "hold" */
#define GO	0
#define ARMED	1
#define HELD	2

static u64 hold;
static DECLARE_WAIT_QUEUE_HEAD(hold_wait);

static int hold_get(void *data, u64 *value)
{
	*value = READ_ONCE(hold);
	return 0;
}

static int hold_set(void *data, u64 value)
{
	if (value != GO && value != ARMED)
		return -EINVAL;

	WRITE_ONCE(hold, value);
	wake_up_all(&hold_wait);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(hold_fops, hold_get, hold_set, "%llu\n");

static int wait_held(struct notifier_block *nb, unsigned long action, void *data)
{
	if (READ_ONCE(hold) != ARMED)
		return NOTIFY_DONE;

	WRITE_ONCE(hold, HELD);
	wait_event(hold_wait, READ_ONCE(hold) != HELD);
	return NOTIFY_OK;
}

static struct notifier_block reboot_block = { .notifier_call = wait_held };

static int read_u64(const void *fdt, int node, const char *name, u64 *value)
{
	const void *property;
	int len;

	property = fdt_getprop(fdt, node, name, &len);
	if (!property || len != sizeof(*value))
		return -ENOENT;

	/* As KHO writes them: of this machine's byte order */
	memcpy(value, property, sizeof(*value));
	return 0;
}

static int root_show(struct seq_file *m, void *unused)
{
	const void *fdt;
	u64 phys, size;
	int node;

	if (!kexec_image || !kexec_image->kho.fdt)
		return -ENOENT;

	fdt = phys_to_virt(kexec_image->kho.fdt);
	node = fdt_subnode_offset(fdt, 0, LUO_FDT_SUBTREE);
	if (node < 0 || read_u64(fdt, node, KHO_SUB_TREE_PROP_NAME, &phys) ||
	    read_u64(fdt, node, KHO_SUB_TREE_SIZE_PROP_NAME, &size))
		return -ENOENT;

	seq_printf(m, "%llu %llu\n", phys, size);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(root);

static int kho_show(struct seq_file *m, void *unused)
{
	phys_addr_t tree;
	u64 map;

	if (!kexec_image || !kexec_image->kho.fdt)
		return -ENOENT;

	tree = kexec_image->kho.fdt;
	if (read_u64(phys_to_virt(tree), 0, KHO_FDT_MEMORY_MAP_PROP_NAME, &map))
		return -ENOENT;

	seq_printf(m, "%llu %llu\n", tree, map);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kho);

/* Memory of the firmware is in no other map of the kernel's */
static void *memory_map(loff_t pos, size_t size)
{
	if (pos < 0 || offset_in_page(pos) + size > PAGE_SIZE ||
	    !pfn_valid(PHYS_PFN(pos)))
		return NULL;

	return memremap(pos, size, MEMREMAP_WB);
}

static ssize_t memory_read(struct file *file, char __user *to, size_t size,
			   loff_t *pos)
{
	void *memory = memory_map(*pos, size);
	unsigned long left;

	if (!memory)
		return -EINVAL;

	left = copy_to_user(to, memory, size);
	memunmap(memory);
	return left ? -EFAULT : size;
}

static ssize_t memory_write(struct file *file, const char __user *from,
			    size_t size, loff_t *pos)
{
	void *memory = memory_map(*pos, size);
	unsigned long left;

	if (!memory)
		return -EINVAL;

	left = copy_from_user(memory, from, size);
	memunmap(memory);
	return left ? -EFAULT : size;
}

static const struct file_operations memory_fops = {
	.owner	= THIS_MODULE,
	.read	= memory_read,
	.write	= memory_write,
	.llseek	= default_llseek,
};

#ifdef CONFIG_X86
static struct e820_entry *e820_last_memory(struct e820_table *table)
{
	struct e820_entry *last = NULL;

	for (u32 i = 0; i < table->nr_entries; i++)
		if (table->entries[i].type == E820_TYPE_RAM)
			last = &table->entries[i];

	return last;
}

/* The table has room for @nr entries where @entry is one */
static void e820_split(struct e820_table *table, struct e820_entry *entry, u32 nr)
{
	u32 after = table->nr_entries - (entry + 1 - table->entries);
	u64 piece = ALIGN_DOWN(entry->size / nr, PAGE_SIZE);
	u64 end = entry->addr + entry->size;

	memmove(entry + nr, entry + 1, after * sizeof(*entry));
	for (u32 i = 0; i < nr; i++, entry++) {
		if (i) {
			*entry = entry[-1];
			entry->addr += piece;
		}
		entry->size = i + 1 < nr ? piece : end - entry->addr;
	}
	table->nr_entries += nr - 1;
}

/* The kernel's own table has no room to spare. It stays: others may read it */
static int split_set(void *data, u64 nr)
{
	struct e820_table *table;

	if (!nr || nr > E820_MAX_ENTRIES - e820_table_kexec->nr_entries)
		return -EINVAL;

	table = kzalloc_obj(*table);
	if (!table)
		return -ENOMEM;

	memcpy(table, e820_table_kexec,
	       offsetof(struct e820_table, entries) +
	       e820_table_kexec->nr_entries * sizeof(struct e820_entry));
	e820_split(table, e820_last_memory(table), nr);
	e820_table_kexec = table;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(split_fops, NULL, split_set, "%llu\n");

static void split_create(struct dentry *dir)
{
	debugfs_create_file("split", 0200, dir, NULL, &split_fops);
}
#else
static void split_create(struct dentry *dir)
{
}
#endif

static int __init mock_handover_init(void)
{
	struct dentry *dir;

	dir = debugfs_create_dir("liveupdate-handover", NULL);
	debugfs_create_file("hold", 0600, dir, NULL, &hold_fops);
	debugfs_create_file("root", 0400, dir, NULL, &root_fops);
	debugfs_create_file("kho", 0400, dir, NULL, &kho_fops);
	debugfs_create_file("memory", 0600, dir, NULL, &memory_fops);
	split_create(dir);

	return register_reboot_notifier(&reboot_block);
}
late_initcall(mock_handover_init);
