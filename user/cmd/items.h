/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WEIR_CMD_ITEMS_H
#define WEIR_CMD_ITEMS_H

#include "policy/model.h" /* policy_each_item() */

#endif
