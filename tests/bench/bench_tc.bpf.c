// SPDX-License-Identifier: GPL-2.0-only
/* Driver and empty program for what runs at TC. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drive.h"

char LICENSE[] SEC("license") = "GPL";

SEC("tc")
int bench_drive(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	__u32 offset = drive.offset, address;

	if (offset > 64 || data + offset + 4 > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	address = bpf_htonl(drive_next());
	*(__u32 *)(data + offset) = address; /* at once: two halves would delay whoever loads it */
	bpf_tail_call(skb, &bench_target, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
