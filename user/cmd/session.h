/* SPDX-License-Identifier: GPL-2.0-only */
/* The administrator's own way in: would the policy cut it? */
#ifndef WEIR_CMD_SESSION_H
#define WEIR_CMD_SESSION_H

#include "cmd/load.h"

/**
 * session_warn() - where this is a shell over SSH (SSH_CONNECTION) that the policy would not let in again, warn in @diag.
 * Asks the compiled tables, for every interface of this host; says nothing where the policy only monitors.
 */
void session_warn(const struct loaded *loaded, bool trial, struct diag *diag);

#endif
