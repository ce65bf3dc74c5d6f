// SPDX-License-Identifier: GPL-2.0-only
/*
 * How things are: what a call that failed must not have changed.
 */
#include <string.h>

#include "luo_lib.h"

int census_take(int dev, struct census *census)
{
	int err;

	memset(census, 0, sizeof(*census));
	err = luo_info(dev, &census->info);
	census->preserved = kho_preserved_pages();
	census->flb_files[0] = mock_get("mock-x-outgoing");
	census->flb_files[1] = mock_get("mock-y-outgoing");
	census->next_fd = fd_next_free();
	return err;
}

/* What is not the same, or NULL. Who failed last may differ. */
const char *census_differs(const struct census *a, const struct census *b)
{
	if (a->info.state != b->info.state)
		return "state";
	if (a->info.number != b->info.number)
		return "number";
	if (a->info.outgoing_sessions != b->info.outgoing_sessions)
		return "outgoing sessions";
	if (a->info.outgoing_files != b->info.outgoing_files)
		return "outgoing files";
	if (a->info.incoming_sessions != b->info.incoming_sessions)
		return "incoming sessions";
	if (a->info.incoming_files != b->info.incoming_files)
		return "incoming files";
	if (a->info.quarantined != b->info.quarantined)
		return "quarantined";
	if (a->preserved != b->preserved)
		return "preserved pages";
	if (a->flb_files[0] != b->flb_files[0] ||
	    a->flb_files[1] != b->flb_files[1])
		return "files of FLBs";
	return a->next_fd != b->next_fd ? "open descriptors" : NULL;
}
