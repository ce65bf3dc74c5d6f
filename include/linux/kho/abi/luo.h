/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_KHO_ABI_LUO_H
#define _LINUX_KHO_ABI_LUO_H

#include <linux/kho/abi/block.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <uapi/linux/liveupdate.h>

/**
 * DOC: Handover format of the Live Update Orchestrator
 *
 * One kernel writes it, the next one reads it, and the two can be of different
 * versions. So nothing here may change its meaning: a change of layout takes a
 * new compatible string.
 *
 * The root is a flattened device tree, which KHO knows as subtree "liveupdate".
 * Numbers in it are big-endian, as the device tree specification has them;
 * everything outside of it is in the machine's own order, as KHO never crosses
 * machines::
 *
 *     / {
 *         compatible = "liveupdate-v1";
 *         number = <u64>;          live updates since the last cold boot, this
 *                                  one included
 *         release = "7.3.4";       of the kernel that wrote it
 *         checksum = <u32>;        CRC-32C of the tree with this value zero
 *         counter-khz = <u64>;     rate of the counter of the next two, 0 if
 *                                  there is none that survives a kexec
 *         reboot-at = <u64>;       when reboot(2) called
 *         handover-at = <u64>;     when this was written
 *
 *         subsystems {
 *             subsystem@0 {        and so on, one per subsystem, in the order in
 *                                  which they depend on each other
 *                 compatible = "...";
 *                 data = <u64>;
 *             };
 *         };
 *         flb {
 *             flb@0 {              and so on, one per object
 *                 compatible = "...";
 *                 data = <u64>;
 *                 count = <u64>;   files that need it
 *             };
 *         };
 *         sessions {
 *             compatible = "liveupdate-sessions-v1";
 *             count = <u64>;       records in the chain
 *             first = <u64>;       physical address of its first block, or 0
 *         };
 *         unknown {                only if there are some
 *             root@0 {             and so on, one per root of a version that a
 *                                  kernel before did not know
 *                 compatible = "...";
 *                 data = <u64>;    physical address
 *                 count = <u64>;   bytes
 *             };
 *         };
 *     };
 *
 * Sessions and the files of each session are records of fixed size in a chain
 * of KHO blocks (see include/linux/kho/abi/block.h). Every block of a chain but
 * the last is full, and none is empty: with the number of records known, the
 * shape of a chain is known, and a chain of any other shape is damaged.
 *
 * A kernel that does not know the version of a session's record, the type of a file, a
 * subsystem, an object or a root hands it over as it came, to a kernel that does, and
 * with it all memory that nobody has restored. So versions of one kind of record are
 * of one size, each begins with its compatible string, and all strings of a kind
 * begin alike, with "luo-session-v", "liveupdate-v" or "liveupdate-sessions-v".
 */

/* KHO's name of the subtree */
#define LUO_FDT_SUBTREE			"liveupdate"
/* Bytes that KHO keeps for it at least */
#define LUO_FDT_SIZE			PAGE_SIZE

#define LUO_FDT_COMPATIBLE		"liveupdate-v1"
#define LUO_FDT_COMPATIBLE_PREFIX	"liveupdate-v"
#define LUO_FDT_NUMBER			"number"
#define LUO_FDT_RELEASE			"release"
#define LUO_FDT_CHECKSUM		"checksum"

#define LUO_FDT_COUNTER_KHZ		"counter-khz"
#define LUO_FDT_REBOOT_AT		"reboot-at"
#define LUO_FDT_HANDOVER_AT		"handover-at"

#define LUO_FDT_SUBSYSTEMS		"subsystems"
#define LUO_FDT_SUBSYSTEM		"subsystem"
#define LUO_FDT_FLBS			"flb"
#define LUO_FDT_FLB			"flb"
#define LUO_FDT_DATA			"data"
#define LUO_FDT_COUNT			"count"

#define LUO_FDT_SESSIONS		"sessions"
#define LUO_FDT_SESSIONS_COMPATIBLE	"liveupdate-sessions-v1"
#define LUO_FDT_SESSIONS_COMPATIBLE_PREFIX "liveupdate-sessions-v"
#define LUO_FDT_SESSIONS_COUNT		"count"
#define LUO_FDT_SESSIONS_FIRST		"first"

#define LUO_FDT_UNKNOWN			"unknown"
#define LUO_FDT_ROOT			"root"

/* Subsystems, objects and roots that there can be in all; a root with more is damaged */
#define LUO_FDT_ITEMS_MAX		4096

/* Bytes of a release string, NUL included: that of struct new_utsname */
#define LUO_RELEASE_LENGTH		65

#define LUO_SESSION_COMPATIBLE		"luo-session-v1"
#define LUO_SESSION_COMPATIBLE_PREFIX	"luo-session-v"
#define LUO_SESSION_COMPAT_LENGTH	16

/**
 * struct luo_session_ser - record of one session
 * @compatible: layout of this record, %LUO_SESSION_COMPATIBLE
 * @name:       the session's name, NUL-terminated, zero to the end
 * @files:      physical address of the first block of its file records, or 0
 * @nr_files:   number of its files
 * @files_crc:  CRC-32C of all its file records, in their order
 * @crc:        CRC-32C of this record up to here
 */
struct luo_session_ser {
	char	compatible[LUO_SESSION_COMPAT_LENGTH];
	char	name[LIVEUPDATE_SESSION_NAME_LENGTH];
	u64	files;
	u64	nr_files;
	u32	files_crc;
	u32	crc;
};

static_assert(sizeof(struct luo_session_ser) == 104);
static_assert(offsetof(struct luo_session_ser, files) == 80);
static_assert(offsetof(struct luo_session_ser, crc) == 100);

/* Bytes of a compatible string of a file handler, or an FLB, NUL included */
#define LIVEUPDATE_HNDL_COMPAT_LENGTH	LIVEUPDATE_COMPATIBLE_LENGTH
#define LIVEUPDATE_FLB_COMPAT_LENGTH	LIVEUPDATE_COMPATIBLE_LENGTH
/* Bytes of a subsystem's name, NUL included */
#define LIVEUPDATE_SUBSYSTEM_NAME_LENGTH LIVEUPDATE_COMPATIBLE_LENGTH

/**
 * struct luo_file_ser - record of one file
 * @compatible: of the handler that wrote @data, NUL-terminated; it says what
 *              @data means
 * @data:       what the handler passes to itself in the next kernel
 * @token:      user space's name of the file, unique within its session
 */
struct luo_file_ser {
	char	compatible[LIVEUPDATE_HNDL_COMPAT_LENGTH];
	u64	data;
	u64	token;
};

static_assert(sizeof(struct luo_file_ser) == 64);
static_assert(offsetof(struct luo_file_ser, data) == 48);
static_assert(offsetof(struct luo_file_ser, token) == 56);

#endif /* _LINUX_KHO_ABI_LUO_H */
