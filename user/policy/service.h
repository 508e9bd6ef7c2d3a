/* SPDX-License-Identifier: GPL-2.0-only */
/* Text of services, as `port:` has it. */
#ifndef WEIR_POLICY_SERVICE_H
#define WEIR_POLICY_SERVICE_H

#include "policy/model.h"

#define SERVICE_TEXT_LEN 48

/** service_format() - "tcp/443", "udp/5000-5100", "icmp/echo-request", "proto/47", "any", in @buffer. Returns @buffer. */
const char *service_format(const struct service *service, char *buffer);

/** service_never() - ICMP types that never pass, whatever rules say: redirects, and what nothing needs any more. */
bool service_never(const struct service *service);

#endif
