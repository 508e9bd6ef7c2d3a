// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/session.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* SSH_CONNECTION: client address, client port, server address, server port. */
static bool session_read(struct question *ret, char *client, char *server)
{
	const char *session = getenv("SSH_CONNECTION"), *why;
	unsigned int port;

	if (!session || sscanf(session, "%63s %*u %63s %u", client, server, &port) != 3 ||
	    port > 65535)
		return false;
	*ret = (struct question){
	    .source_kind = WEIR_OTHER,
	    .destination_kind = WEIR_SELF,
	    .proto = IPPROTO_TCP,
	    .port = (__u16)port,
	};
	return !addr_parse(client, &ret->source, &why) &&
	       !addr_parse(server, &ret->destination, &why);
}

void session_warn(const struct loaded *loaded, bool trial, struct diag *diag)
{
	char client[ADDR_TEXT_LEN], server[ADDR_TEXT_LEN];
	struct question question;
	struct answer answer;

	if (loaded->policy->monitor || !session_read(&question, client, server))
		return;
	/* Which interface it came by is not known; "on:" may let it in by one of them. */
	for (size_t i = 0; i < loaded->env.nr_interfaces; i++) {
		question.zone = loaded->tables->zone[i];
		if (tables_eval(loaded->tables, &question, &answer) || answer.allow)
			return;
	}
	diag_warn(
	    diag, NULL,
	    "this SSH session, from %s to tcp/%u of this node, is not allowed by the policy%s",
	    client, question.port,
	    trial ? ": it stalls until you are back or the trial falls back"
		  : ": use --confirm, or keep another way in");
}
