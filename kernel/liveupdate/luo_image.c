// SPDX-License-Identifier: GPL-2.0
/*
 * Live Update Orchestrator: the image that a kexec would start
 */

#include <linux/build_bug.h>
#include <linux/kexec.h>
#include <linux/string.h>
#include <linux/suspend.h>

#include "../kexec_internal.h"
#include "luo_internal.h"

/**
 * luo_image_try_hold - keep the image as it is, if nobody is about to change or use it
 *
 * Until luo_image_let_go(), reboot(2) waits, and neither is an image loaded nor a crash
 * kernel started: so not for long.
 *
 * Context: Process context. It never waits, as reboot(2) has these locks while it waits
 * for luo.transition.
 * Return: true if it is held.
 */
bool luo_image_try_hold(void)
{
	if (!mutex_trylock(&system_transition_mutex))
		return false;
	if (kexec_trylock())
		return true;

	mutex_unlock(&system_transition_mutex);
	return false;
}

/**
 * luo_image_let_go - undo luo_image_try_hold()
 *
 * Context: Process context.
 */
void luo_image_let_go(void)
{
	kexec_unlock();
	mutex_unlock(&system_transition_mutex);
}

static_assert(KEXEC_RELEASE_LENGTH <= LIVEUPDATE_RELEASE_LENGTH);

/**
 * luo_image_loaded - tell what is loaded
 * @release: where its release goes, if it is known; empty otherwise
 * @size:    bytes of @release
 *
 * Context: The image cannot change, see luo_image_try_hold().
 * Return: what it is.
 */
enum liveupdate_image luo_image_loaded(char *release, size_t size)
{
	memset(release, 0, size);
	if (!kexec_image)
		return LIVEUPDATE_IMAGE_NONE;
	if (kexec_image->preserve_context)
		return LIVEUPDATE_IMAGE_RETURNS;
	if (!kexec_image->kho.fdt)
		return LIVEUPDATE_IMAGE_PLAIN;

	luo_escape(release, size, kexec_image->kho.release);
	return LIVEUPDATE_IMAGE_HANDOVER;
}
