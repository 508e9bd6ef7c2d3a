/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The confirmed policy on disk: what applies after a reboot, when the kernel has forgotten everything.
 *
 * /var/lib/weir/NAME/ (WEIR_STATE_DIR replaces /var/lib/weir; NAME as in audit/paths.h) holds
 *   confirmed/  the policy that was last applied without a trial, or confirmed
 *   previous/   the one before, for a rollback of a final apply
 *   trial/      the one on trial
 *   refused     which version of the files must not come back by itself: on trial, fallen back, or rolled back
 * A copy is the policy in canonical form with the lists that it read, so it applies though its files have changed.
 *
 * Order in the commands; none of these failing undoes what the kernel does, the command warns and goes on:
 *   trial:     confirmed_begin_trial(), kernel_apply(); where that fails, confirmed_cancel_trial()
 *   final:     kernel_apply(), confirmed_save()
 *   confirm:   kernel_confirm(), confirmed_confirm()
 *   rollback:  kernel_rollback(), confirmed_rollback() (of a trial: confirmed_expire())
 *   detach:    kernel_detach(), confirmed_forget()
 * All return 0 or -errno, with @diag; all take the directory's lock for as long as they run.
 */
#ifndef WEIR_CMD_CONFIRMED_H
#define WEIR_CMD_CONFIRMED_H

#include <limits.h>
#include <stdbool.h>

#include "base/diag.h"
#include "policy/model.h"

/** confirmed_begin_trial() - before a trial's flip: keep its copy, and note that it is not to survive a reboot. */
int confirmed_begin_trial(const char *pin_dir, const struct policy *policy, struct diag *diag);

/** confirmed_cancel_trial() - the trial's kernel_apply() failed: what was noted before stays as it was. */
int confirmed_cancel_trial(const char *pin_dir, struct diag *diag);

/** confirmed_save() - after a final apply: @policy is the confirmed one, the one before becomes the previous. */
int confirmed_save(const char *pin_dir, const struct policy *policy, struct diag *diag);

/**
 * confirmed_refresh() - the confirmed policy is compiled again with other lists: its copy gets them. Nothing else is noted,
 * and a copy of another policy stays as it is.
 */
int confirmed_refresh(const char *pin_dir, const struct policy *policy, struct diag *diag);

/** confirmed_confirm() - the trial's copy is the confirmed one. -ENOENT: no trial was noted. */
int confirmed_confirm(const char *pin_dir, struct diag *diag);

/**
 * confirmed_rollback() - after kernel_rollback(): of a trial, its copy goes and its version is refused; of a final
 * apply, the previous copy is the confirmed one again, and the version that was rolled back is refused.
 */
int confirmed_rollback(const char *pin_dir, struct diag *diag);

/** confirmed_expire() - the trial's deadline has passed: its copy goes, its version is refused. 0 also without one. */
int confirmed_expire(const char *pin_dir, struct diag *diag);

/** confirmed_refuse() - the version @sha256 of the files must not be applied by itself, in this boot and the next. */
int confirmed_refuse(const char *pin_dir, const __u8 *sha256, struct diag *diag);

/** confirmed_forget() - remove the directory. */
int confirmed_forget(const char *pin_dir, struct diag *diag);

/**
 * struct confirmed_state - what a starting daemon needs to know.
 * @path:       the confirmed copy, "" when there is none
 * @sha256:     of the files that it was made from (struct policy.sha256)
 * @trial:      a trial was noted and neither confirmed nor ended
 * @refused:    @refused_sha256 must not be applied by itself
 * @other_boot: that was noted before the last reboot
 */
struct confirmed_state {
	char path[PATH_MAX];
	__u8 sha256[32];
	bool trial;
	bool refused;
	bool other_boot;
	__u8 refused_sha256[32];
};
int confirmed_read(const char *pin_dir, struct confirmed_state *ret, struct diag *diag);

/** enum confirmed_choice - what a starting daemon applies; confirmed_choose() is a pure function. */
enum confirmed_choice {
	CHOOSE_RUNNING, /* what the kernel has in force stays */
	CHOOSE_FILES,	/* the files as they are */
	CHOOSE_COPY,	/* the confirmed copy */
	CHOOSE_NONE,	/* there is nothing to apply: the files are rejected and no copy exists */
};

/**
 * confirmed_choose() - decide.
 * @state:   confirmed_read()
 * @files:   sha256 of the files as they are; NULL when they are rejected
 * @running: sha256 of the policy in force; NULL when the kernel holds none
 * @trial:   the kernel says that a trial is pending
 *
 * A policy in force that is the files' stays. A version that was refused does not come back by itself: the policy in
 * force stays, or, after a reboot, the confirmed copy applies. Rejected files likewise.
 */
enum confirmed_choice confirmed_choose(const struct confirmed_state *state, const __u8 *files,
				       const __u8 *running, bool trial);

#endif
