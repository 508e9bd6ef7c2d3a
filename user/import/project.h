/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the reading of a project: its networks and its services. */
#ifndef WEIR_IMPORT_PROJECT_H
#define WEIR_IMPORT_PROJECT_H

#include "import/compose.h"

bool engine_name_valid(const char *text);

/** network_add() - one more, of which nothing is known but its key. */
int network_add(struct import *im, struct project *project, const char *key,
		const struct position *at, size_t *ret);
/** network_default() - the one of services that name none; made when it is asked for. */
int network_default(struct import *im, struct project *project, size_t *ret);

/** services_read() - when networks are known. */
int services_read(struct import *im, struct ynode *services, struct project *project);

#endif
