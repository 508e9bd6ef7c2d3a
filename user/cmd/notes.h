/* SPDX-License-Identifier: GPL-2.0-only */
/* What is noted in /run/weir about what is loaded: applied.h, following.h, and the answers that names.h keeps. */
#ifndef WEIR_CMD_NOTES_H
#define WEIR_CMD_NOTES_H

/** notes_forget() - nothing is loaded any more: the notes of @pin_dir go. What is not there is no error. */
void notes_forget(const char *pin_dir);

#endif
