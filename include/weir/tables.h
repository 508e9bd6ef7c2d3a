/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keys, values and sizes of every map: the contract between compiler, loader, programs and whoever reads the pins.
 *
 * Maps named *_0 and *_1 are the two slots of the compiled policy (DESIGN 1.5): the compiler fills them, programs
 * only read them. All other maps are run-time state that no change of policy touches.
 * Integers are host byte order unless typed __be; addresses are bytes in wire order.
 */
#ifndef WEIR_TABLES_H
#define WEIR_TABLES_H

#include <linux/types.h>

#define WEIR_NONE     0xffffffffu
#define WEIR_NR_SLOTS 2

/** struct weir_addr - an address as it stands on the wire; IPv4 as ::ffff:a.b.c.d. */
struct weir_addr {
	__u8 byte[16];
};

/* ------------------------------------------------------------------------------------------------------------
 * Slot tables: address -> class -> (row, service) -> verdict
 * ------------------------------------------------------------------------------------------------------------ */

/* Who an address is at run time; class tables hold one row of struct weir_class per kind. */
enum weir_kind {
	WEIR_SELF = 0,	   /* an address of this node */
	WEIR_WORKLOAD = 1, /* bound to a watched veth */
	WEIR_OTHER = 2,	   /* everything else: peers, transit */
	WEIR_NR_KINDS = 3,
};

/*
 * A reference into the trie: a class, or the index of a node. Class 0 is "in no segment but any".
 * weir_root_S: index = (family is IPv6 ? 65536 : 0 + first 16 bits of the address) / 2, ref[first 16 bits & 1].
 */
#define WEIR_REF_CLASS 0x80000000u
#define WEIR_ROOT_BITS 16
#define WEIR_STRIDE    6
#define WEIR_NR_ROOTS  65536 /* map entries: two families x 65,536 references / 2 */
struct weir_root {
	__u32 ref[2];
};

/**
 * struct weir_node - one node of the compressed multibit trie (poptrie, Asai and Ohara, SIGCOMM 2015).
 *
 * Stride node (node_base without WEIR_NODE_SKIP) at bit position p; v = the next 6 bits of the address (bits beyond
 * the address are 0):
 *   bit v of @inner set: child is node node_base + popcount(inner & ((2 << v) - 1)) - 1, at position p + 6;
 *   else: class is leaf leaf_base + popcount(leaf & ((2 << v) - 1)) - 1. Equal neighbouring leaves are stored once.
 * Skip node (path compression): @leaf = n (1..64), @inner = n bits, right-aligned. When the next n bits of the
 *   address equal @inner the result is reference @hit (at position p + n), else class @miss.
 */
#define WEIR_NODE_SKIP 0x80000000u
struct weir_node {
	__u64 inner;
	__u64 leaf;
	union {
		__u32 leaf_base;
		__u32 miss; /* a class, without WEIR_REF_CLASS */
	};
	__u32 node_base; /* skip node: WEIR_NODE_SKIP only */
	__u32 hit;	 /* skip node: reference as in the root */
	__u32 pad;
};
_Static_assert(sizeof(struct weir_node) == 32, "two nodes a cache line");
/* Deepest walk: IPv6, 16 bits at the root, then 112 bits by 6. */
#define WEIR_MAX_DEPTH 20

/* weir_leaf_S: leaf i is class[i & 1] of entry i / 2. */
struct weir_leaf {
	__u32 class[2];
};

/**
 * struct weir_class - what an address of this class is in the rules; entry kind * config.nr_classes + class.
 * @src, @dst: its equivalence class as a source and as a destination; the pair is looked up by (src, dst)
 * @row:       row of pairs (any src of that kind, this dst) that the exact table does not list: by kind, so that a
 *             rule from `self` need not be listed once for every destination that other rules tell apart
 */
struct weir_class {
	__u32 src;
	__u32 dst;
	__u32 flags;
	__u32 row[WEIR_NR_KINDS];
	__u32 pad[2];
};
_Static_assert(sizeof(struct weir_class) == 32, "two classes a cache line");
#define WEIR_CLASS_BLOCKED	 0x1 /* in the policy's block list */
#define WEIR_CLASS_NEVER_BLOCK	 0x2 /* exempt from run-time and automatic blocks */
#define WEIR_CLASS_INGRESS_ALLOW 0x4 /* default of packets to it */
#define WEIR_CLASS_EGRESS_ALLOW	 0x8 /* default of packets from it */
#define WEIR_CLASS_NO_AUTOBLOCK \
	0x10 /* never blocked by a limit: proxies, administrators, who is spoofed to be locked out */

/*
 * Service classes. Index of a service: tcp/p = p, udp/p = 65536 + p, sctp/p = 131072 + p, then 256 ICMP types, 256
 * ICMPv6 types, 256 other protocols (TCP, UDP, SCTP, ICMP and ICMPv6 are unused there), 256 "later fragment of IPv4
 * protocol n", and one "later fragment of IPv6". Entry index / 4, class[index & 3].
 * A fragment service stands for all services of its protocol: ALLOW when a rule allows any of them, DENY when rules
 * deny all of them, else DEFAULT; its limits are every packet and byte limit of those services.
 */
#define WEIR_SVC_TCP	 0
#define WEIR_SVC_UDP	 65536
#define WEIR_SVC_SCTP	 131072
#define WEIR_SVC_ICMP	 196608
#define WEIR_SVC_ICMPV6	 196864
#define WEIR_SVC_PROTO	 197120
#define WEIR_SVC_FRAG4	 197376
#define WEIR_SVC_FRAG6	 197632
#define WEIR_NR_SERVICES 197633
#define WEIR_SVC_ENTRIES ((WEIR_NR_SERVICES + 3) / 4)
struct weir_service {
	__u16 class[4];
};

/*
 * Two-dimensional tables, each dense or exact as config says (the other map then has one entry):
 *   weir_pair_S (src, dst) -> row; dense index src * nr_dst + dst; not listed: class.row of the destination, for the
 *               kind of the source
 *   weir_cell_S (row, service) -> verdict index; service = zone * nr_service_classes + service class;
 *               dense index row * (nr_zones * nr_service_classes) + service;
 *               not listed: config.cell_default, or the value of (row, WEIR_NONE) where the row's number has
 *               WEIR_ROW_OWN_DEFAULT. Rows keep that bit in keys; a dense index is without it
 */
#define WEIR_ROW_OWN_DEFAULT 0x80000000u
struct weir_dense { /* entry index / 2, value[index & 1] */
	__u32 value[2];
};
#define WEIR_EXACT_WAYS 5
struct
    weir_exact { /* bucket weir_exact_hash(a, b, config.seed) & mask; unused ways have a = WEIR_NONE */
	__u32 a[WEIR_EXACT_WAYS];
	__u32 b[WEIR_EXACT_WAYS];
	__u32 value[WEIR_EXACT_WAYS];
	__u32 pad;
};
_Static_assert(sizeof(struct weir_exact) == 64, "one cache line");

enum weir_action {
	WEIR_ACT_DEFAULT = 0, /* no rule: the default of the direction decides */
	WEIR_ACT_ALLOW = 1,
	WEIR_ACT_DENY = 2,
	WEIR_ACT_FAILSAFE = 3, /* open before block list and rules, exempt from limits */
	WEIR_ACT_LATER = 4, /* a service address, endpoints differ: judged at the exit, after NAT */
};
#define WEIR_VERDICT_NAMED 0x1 /* some allow rule for it names protocol (and port): DESIGN 1.3 */
#define WEIR_VERDICT_LOG   0x2 /* passed packets go to the audit as well */
#define WEIR_MAX_LIMITS	   4   /* limits that one packet may meet */
#define WEIR_MAX_FRAG_LIMITS \
	12 /* of a later fragment: union over the services that it may belong to */

/**
 * struct weir_verdict - what the rules say about one (source, destination, service).
 * @rule:   counter index of the first rule that decides; for DEFAULT unused (0)
 * @limit:  indices into weir_limit_S in file order, @nr_limits of them
 * @protect: index + 1 into weir_prot_S, for services of this node that SYN cookies protect; 0: none
 */
struct weir_verdict {
	__u32 rule;
	__u8 action;
	__u8 flags;
	__u8 nr_limits;
	__u8 protect;
	__u16 limit[WEIR_MAX_FRAG_LIMITS];
};
_Static_assert(sizeof(struct weir_verdict) == 32, "two verdicts a cache line");

/* Time: TATs count 1/16 ns of CLOCK_MONOTONIC; bits 62 and 63 are flags. */
#define WEIR_TAT_SHIFT 4
#define WEIR_TAT_LOCK  (1ULL << 63)
#define WEIR_TAT_DEAD  (1ULL << 62)
#define WEIR_TAT_MASK  (WEIR_TAT_DEAD - 1)
#define WEIR_OVERFLOWS 256 /* overflow entries of each limit */

enum weir_count_unit { WEIR_COUNT_PACKETS = 0, WEIR_COUNT_BYTES = 1, WEIR_COUNT_CONNECTIONS = 2 };
enum weir_per {
	WEIR_PER_SOURCE = 0,
	WEIR_PER_DESTINATION = 1,
	WEIR_PER_PAIR = 2,
	WEIR_PER_RULE = 3
};
#define WEIR_LIMIT_EGRESS \
	0x1 /* counts at the home of the sender (from alone), else at the home of `to` */
#define WEIR_LIMIT_WIDE	   0x2 /* 16-byte keys, two entries a bucket (struct weir_tat_wide) */
#define WEIR_LIMIT_JIFFIES 0x4 /* clock is the tick */
#define WEIR_LIMIT_BLOCK   0x8 /* on_exceed: {block: …} */
#define WEIR_LIMIT_MONITOR 0x10
#define WEIR_LIMIT_LOG	   0x20

/**
 * struct weir_limit - one limit as the programs charge it (DESIGN 1.4).
 * @interval:  T in 1/16 ns: cost of one unit (packets, connections); bytes: unused
 * @tolerance: burst x T in 1/16 ns, at most 366 days
 * @over_interval, @over_tolerance, @over_mantissa, @over_shift: the same of each overflow entry
 * @mantissa, @shift: cost of a packet = (length * mantissa + 2^shift - 1) >> shift
 * @buckets:   first bucket in weir_tat; @mask: number of buckets - 1
 * @overflow:  first entry in weir_over
 * @counter:   index in weir_limcnt
 * @block_s:   seconds that on_exceed blocks for
 * @id:        hash of the name, stable over changes of policy; part of the key of automatic blocks
 * @key4, @key6: prefix length of the key (0..32, 0..128)
 */
struct weir_limit {
	__u64 interval;
	__u64 tolerance;
	__u64 over_interval;
	__u64 over_tolerance;
	__u64 id;
	__u32 mantissa;
	__u32 over_mantissa;
	__u32 buckets;
	__u32 mask;
	__u32 overflow;
	__u32 counter;
	__u32 block_s;
	__u8 shift;
	__u8 over_shift;
	__u8 count; /* enum weir_count_unit */
	__u8 per;   /* enum weir_per */
	__u8 key4;
	__u8 key6;
	__u8 flags;
	__u8 pad[17];
};
_Static_assert(sizeof(struct weir_limit) == 96, "limit layout is ABI");

/**
 * struct weir_protect - `protect:` of the policy: above this rate of SYNs in all, XDP answers them with cookies.
 * @interval, @tolerance: GCRA of the SYNs that pass, 1/16 ns; the burst is a tenth of a second's worth, at least 1
 * @state:     index into weir_cookie, the same as long as the entry protects the same
 * @id:        of what it protects, whatever its place and its rate; programs do not read it
 *
 * Where there is an entry, listeners take cookies at all times. So that no cookie opens more than was charged, services
 * with a limit of connections are watched as well: they share an entry behind the others, of WEIR_PROTECT_NEVER.
 */
#define WEIR_MAX_PROTECTS  16
#define WEIR_PROTECT_NEVER 1			   /* @interval: no rate exceeds that */
#define WEIR_NR_COOKIES	   (2 * WEIR_MAX_PROTECTS) /* entries of weir_cookie: of both slots */
struct weir_protect {
	__u64 interval;
	__u64 tolerance;
	__u32 state;
	__u32 pad;
	__u64 id;
};
_Static_assert(sizeof(struct weir_protect) == 32, "two a cache line");

/* weir_rule_S: what user space needs to name counters and events; programs do not read it. */
#define WEIR_NAME_LEN 64
enum weir_rule_kind {
	WEIR_RULE_ALLOW = 0,
	WEIR_RULE_DENY = 1,
	WEIR_RULE_LIMIT = 2,
	WEIR_RULE_DEFAULT = 3, /* the built-in rules below */
	WEIR_RULE_FAILSAFE = 4,
};
/* Counter indices of what is no rule of the file; rules begin at WEIR_RULE_FIRST. */
#define WEIR_RULE_DEFAULT_INGRESS  0
#define WEIR_RULE_DEFAULT_EGRESS   1
#define WEIR_RULE_DEFAULT_FORWARD  2
#define WEIR_RULE_BUILTIN_FAILSAFE 3
#define WEIR_RULE_FIRST		   8

/**
 * struct weir_rule - name and place of a rule or a limit.
 * @name:    NUL-terminated; "FILE:LINE" when the file gives none
 * @file:    index into the list of files that weir_file_S holds
 * @counter: index in weir_rulecnt (weir_limcnt for limits), the same as long as the rule stays the same
 * @id:      hash of kind and name (or content): how a rule is recognised in the next policy
 */
struct weir_rule {
	char name[WEIR_NAME_LEN];
	__u64 id;
	__u32 file;
	__u32 line;
	__u32 column;
	__u32 counter;
	__u32 kind; /* enum weir_rule_kind */
	__u32 pad;
};
_Static_assert(sizeof(struct weir_rule) == 96, "rule layout is ABI");

struct weir_file { /* weir_file_S */
	char path[256];
};
#define WEIR_TEXT_PAGE 4096
struct weir_text { /* weir_text_S: the policy in canonical form, NUL-terminated, pages in order */
	char text[WEIR_TEXT_PAGE];
};

/**
 * struct weir_config - the numbers of one slot, one entry.
 * @generation: of the policy in this slot; 0: the slot holds none
 * @pair_mask, @cell_mask: buckets - 1 of the exact table; WEIR_NONE: the table is dense
 * @cell_default: verdict of services that an exact cell table does not list, in rows without WEIR_ROW_OWN_DEFAULT
 * @touch:      limit whose bucket is asked for while the packet is still being classified, WEIR_NONE: none
 * @event_interval_ns, @event_source_interval_ns: events in all and per source, as GCRA intervals; the burst is one
 *              second's worth; 0: no limit
 * @sha256:     of the policy files as read
 * @vlans:      bit VID: tagged traffic that is ours (802.1Q, at NICs); VID 0 always is, its bit is not looked at
 */
struct weir_config {
	__u32 generation;
	__u32 flags;
	__u32 nr_classes;
	__u32 nr_dst;
	__u32 pair_mask;
	__u32 cell_mask;
	__u32 nr_service_classes;
	__u32 nr_zones;
	__u32 seed;
	__u32 nr_rules; /* entries of weir_rule_S */
	__u32 nr_files;
	__u32 nr_limits;
	__u32 text_len;
	__u32 tcp_s;
	__u32 tcp_closing_s;
	__u32 udp_s;
	__u32 udp_stream_s;
	__u32 icmp_s;
	__u32 half_open_s;
	__u32 cell_default;
	__u32 touch;
	__u32 pad;
	__u64 event_interval_ns;
	__u64 event_source_interval_ns;
	__u64 applied_ns; /* CLOCK_REALTIME */
	__u8 sha256[32];
	__u64 vlans[64];
};
#define WEIR_CFG_MONITOR       0x1 /* drop nothing, say what would be dropped */
#define WEIR_CFG_FORWARD_ALLOW 0x2 /* default of transit */
#define WEIR_CFG_FORWARDING4   0x4 /* the node routes: not every destination at a NIC is self */
#define WEIR_CFG_FORWARDING6   0x8
#define WEIR_CFG_WORKLOADS     0x10 /* the policy names workloads */
#define WEIR_CFG_BLOCK_LIST    0x20 /* some class is WEIR_CLASS_BLOCKED */
#define WEIR_CFG_LIMITS	       0x40
#define WEIR_CFG_FAILSAFE      0x80   /* some verdict is WEIR_ACT_FAILSAFE */
#define WEIR_CFG_LATER	       0x100  /* some verdict is WEIR_ACT_LATER: exits look conntrack up */
#define WEIR_CFG_UNITS	       0x200  /* some segment has a unit: sockets' cgroups are asked for */
#define WEIR_CFG_PROTECT       0x400  /* some verdict is protected by SYN cookies */
#define WEIR_CFG_VLANS	       0x800  /* some bit of vlans is set */
#define WEIR_CFG_ANTISPOOF     0x1000 /* some interface checks reverse paths */

/* ------------------------------------------------------------------------------------------------------------
 * Run-time state
 * ------------------------------------------------------------------------------------------------------------ */

/*
 * The generation word, changed by compare-and-swap only, read once per packet:
 * bit 0 slot, bit 1 a trial is pending, bits 2..23 generation, bits 24..63 deadline in ms of CLOCK_BOOTTIME.
 */
#define WEIR_WORD_SLOT		 0x1ULL
#define WEIR_WORD_PENDING	 0x2ULL
#define WEIR_WORD_GEN_SHIFT	 2
#define WEIR_WORD_GEN_MASK	 0x3fffffULL
#define WEIR_WORD_DEADLINE_SHIFT 24

/**
 * struct weir_control - the one entry of weir_control, mmapable.
 * @word:       see above; generation 0: no policy, everything passes unjudged (programs are attached after the flip)
 * @blocks:     run-time blocks that exist; 0: weir_block is not consulted
 * @autoblocks: automatic blocks that were ever added since the last sweep found none; 0: weir_autoblk is not consulted
 * @seed:       random per boot, for tables that outsiders fill
 * @fake_ns:    the clock of programs loaded for tests with weir_fake_clock; never read otherwise
 * @block_full: automatic blocks that found no place
 * @tick:       length of a jiffy in 1/16 ns, set by the loader; 0: limits must not use the tick
 * @jiffies0:   jiffies64 when CLOCK_MONOTONIC was 0, measured by the program weir_clock
 * @masqueraded: 1 since the first masqueraded flow left a NIC; 0: no answer is looked for among those
 * @behind:     1 since somebody whose address NAT replaced by ours entered a workload; 0: no answer to such is looked for
 * @cookie_wscale: window scale that this host's sockets announce (tcp_rmem, rmem_max), for SYN cookies; set by the loader
 */
struct weir_control {
	__u64 word;
	__u64 blocks;
	__u64 autoblocks;
	__u64 seed;
	__u64 fake_ns;
	__u64 block_full;
	__u64 tick;
	__u64 jiffies0;
	__u64 masqueraded;
	__u64 behind;
	__u64 cookie_wscale;
	__u64 pad[5];
};

/*
 * XDP's mark for TC, before the frame: weir_control.seed, so many times over. Generic XDP on some kernels (seen on 6.18)
 * hands on a packet that it had to copy with mac_len 0; TC then finds data, and the metadata below it, 14 bytes too far
 * up: of 20 bytes of mark the first 6 that it sees are still mark, turned by 14 bytes.
 */
#define WEIR_MARK_WORDS 5

/*
 * weir_iface: key ifindex. Every interface of this namespace has an entry, watched or not (flags 0): what enters a
 * workload from an interface that has none is dropped, since that one is too new for its hooks to be in place.
 */
#define WEIR_IF_NIC	    0x1
#define WEIR_IF_WORKLOAD    0x2
#define WEIR_IF_BRIDGE	    0x4	 /* a bridge, all ports watched: counts as watched, is no home */
#define WEIR_IF_CLOSED	    0x8	 /* a workload without a binding */
#define WEIR_IF_NO_METADATA 0x10 /* XDP saw a frame that cannot carry its mark: TC judges */
#define WEIR_IF_PORT	    0x20 /* a workload that is a port of a guarded bridge */
#define WEIR_IF_GUARD	    0x40 /* a bridge, all ports workloads: its hooks pass what is bound to one */
struct weir_iface {
	__u32 flags;
	__s32 nsid; /* of the workload's namespace as seen from ours; -1: unknown, ask no sockets */
	__u16 zone[WEIR_NR_SLOTS];     /* which `on:` sets it is in, per slot */
	__u8 mac[6];		       /* its own; of WEIR_IF_PORT: the bridge's */
	__u8 antispoof[WEIR_NR_SLOTS]; /* enum weir_antispoof, per slot; for WEIR_CFG_ANTISPOOF */
	__u32 master; /* ifindex of the bridge or bond that it is a port of, 0: of none */
	__u32 lower;  /* of a VLAN device: ifindex of the device that it is on; else 0 */
	__u32 mtu;
};
/* Reverse-path check of what arrives (RFC 3704): does a route to the source go out there (strict), or anywhere (loose)? */
enum weir_antispoof { WEIR_ANTISPOOF_OFF = 0, WEIR_ANTISPOOF_STRICT = 1, WEIR_ANTISPOOF_LOOSE = 2 };

/*
 * weir_local: addresses whose home is here. Link-local addresses are scoped to an interface, all others to 0; those
 * of a bridge's port are there twice, scoped to the port and to the bridge.
 */
struct weir_local_key {
	struct weir_addr address;
	__u32 scope;
};
#define WEIR_LOCAL_BROADCAST 0x1 /* a subnet broadcast address of ours */
#define WEIR_LOCAL_GONE	     0x2 /* its workload stopped, tables may still name it: nothing passes */
struct weir_local {
	__u32 kind;    /* WEIR_SELF or WEIR_WORKLOAD; WEIR_LOCAL_GONE: WEIR_OTHER */
	__u32 ifindex; /* workload: the host-side veth */
	__u32 flags;
	__u32 generation; /* WEIR_LOCAL_GONE: that was in force when it stopped; else 0 */
};

/*
 * weir_unit: which unit a socket of this node belongs to, by cgroup; key __u64 cgroup id. Several cgroups may be of one
 * unit. Tables know unit N (1 to WEIR_MAX_UNITS) as an address that no packet bears: 127.255.0.0 + N.
 */
struct weir_unit {
	__u32 unit;
	__u32 pad;
};
#define WEIR_MAX_UNITS	  4096
#define WEIR_UNIT_ADDRESS 0x7fff0000u /* host byte order */

/* weir_tat: buckets of the limiter; regions belong to limits (struct weir_limit). tat as in DESIGN 1.4. */
struct weir_tat {
	struct {
		__u64
		    key; /* IPv4: 0xff000000_00000000 | address as a number; IPv6: first 64 bits; 0: empty */
		__u64 tat;
	} entry[4];
};
struct weir_tat_wide { /* the same 64 bytes for 16-byte keys */
	struct {
		__u64 key[2];
		__u64 tat;
	} entry[2];
	__u64 pad[2];
};
_Static_assert(sizeof(struct weir_tat) == 64 && sizeof(struct weir_tat_wide) == 64,
	       "one cache line");

/**
 * struct weir_flow - a flow whose replies the policy alone would not let pass (DESIGN 1.3).
 * @expires: ns of CLOCK_MONOTONIC, but for the low 16 bits: WEIR_FLOW_STATE and WEIR_FLOW_VERSION; bit 63: being
 *           written. One word, so that one compare-and-swap says whose entry it is, how far it got and until when
 * @local, @lport: the end that opened (answer flows: that was opened to); ICMP echo: lport = id, rport = 0
 * @owner:   whose quota it counts to: ifindex of the workload, 0 for self, hash of the source prefix for transit
 * @since, @fraction: when it was made, seconds of CLOCK_MONOTONIC and 1/61036 of one
 * @seq:     TCP: of the opener's and of the other end's sequence numbers a late one, to tell forged segments
 */
struct weir_flow {
	__u64 expires;
	struct weir_addr local;
	struct weir_addr remote;
	__be16 lport;
	__be16 rport;
	__u8 proto;
	__u8 pad;
	__u16 fraction;
	__u32 owner;
	__u32 since;
	__u32 seq[2];
};
_Static_assert(sizeof(struct weir_flow) == 64, "one cache line");
#define WEIR_FLOW_BUSY	  (1ULL << 63)
#define WEIR_FLOW_REPLIED 0x1ULL /* the other end answered */
#define WEIR_FLOW_CLOSING 0x2ULL /* FIN or RST with a number that fits */
#define WEIR_FLOW_ESTABLISHED \
	0x4ULL /* lives long: answered; TCP: its opener knows what the answer said */
#define WEIR_FLOW_ASSURED     0x8ULL  /* newcomers do not take its place */
#define WEIR_FLOW_HANDSHAKE   0x10ULL /* TCP: seq[1] is what the opener must acknowledge, exactly */
#define WEIR_FLOW_STATE	      0x1fULL
#define WEIR_FLOW_VERSION     0xffe0ULL /* counts up with each flow that had this place */
#define WEIR_FLOW_VERSION_ONE 0x20ULL
#define WEIR_FLOW_WAYS	      8
/* At most so many ways of a set are assured; for TCP in transit, whose openers have proved their addresses, MAX_PROVEN. */
#define WEIR_FLOW_MAX_ASSURED 4
#define WEIR_FLOW_MAX_PROVEN  6
struct weir_flow_set { /* weir_flow: index = region * WEIR_FLOW_SETS + hash */
	struct weir_flow way[WEIR_FLOW_WAYS];
};
enum weir_flow_region {
	WEIR_FLOW_SELF = 0, /* opened by this node */
	WEIR_FLOW_WORKLOAD =
	    1, /* opened by a workload; at most WEIR_FLOW_QUOTA ways of a set each */
	WEIR_FLOW_TRANSIT = 2, /* likewise per source prefix */
	WEIR_FLOW_ANSWER =
	    3, /* opened from outside by a default or a rule for any port; short expiry */
	WEIR_FLOW_MASQ = 4, /* left a NIC with a self source though forwarded */
	WEIR_FLOW_REGIONS = 5,
};
#define WEIR_FLOW_SETS	8192 /* per region: 65,536 flows */
#define WEIR_FLOW_QUOTA 4

/**
 * struct weir_cookie - state of one `protect:` entry, shared by all CPUs; weir_cookie, mmapable.
 * @tat:      GCRA of the SYNs that pass, 1/16 ns
 * @until_ns: CLOCK_MONOTONIC until when every SYN is answered with a cookie; 0: not under attack
 * @since_ns: when @until_ns was set last with nothing of it left: since when every SYN has been answered; 0: never
 * @passed_ns: when the last SYN passed meanwhile: the kernel takes cookies only while its listener has seen SYNs lately
 * @sent, @valid, @invalid: SYNs answered, clients that proved their address, segments that did not
 */
struct weir_cookie {
	__u64 tat;
	__u64 until_ns;
	__u64 passed_ns;
	__u64 sent;
	__u64 valid;
	__u64 invalid;
	__u64 since_ns;
	__u64 pad;
};
_Static_assert(sizeof(struct weir_cookie) == 64, "one cache line");

/* weir_control.cookie_wscale: the window scale itself, and what this host does not do at all. */
#define WEIR_COOKIE_WSCALE    0x0f
#define WEIR_COOKIE_NO_WSCALE 0x10 /* net.ipv4.tcp_window_scaling is 0 */
#define WEIR_COOKIE_NO_SACK   0x20 /* net.ipv4.tcp_sack is 0 */

/*
 * weir_proved: what protected services were opened by a moment ago, so that no connection is charged twice. A word is
 * {hash 32, used 1, time 31}, the time in units of 2^20 ns of CLOCK_MONOTONIC; where it is follows from the tuple, and whoever
 * comes later takes the place. The hash is of the tuple with the number of a SYN that passed and was charged, or with
 * the cookie of a client that proved its address; @used: two segments went by that proof. Behind these, when the last
 * SYN for each of our addresses (by hash) passed during an attack, ns of CLOCK_MONOTONIC.
 */
#define WEIR_PROVED	 16384
#define WEIR_TRICKLES	 4096
#define WEIR_PROVED_NOW	 0x7fffffffULL
#define WEIR_PROVED_USED (1ULL << 31)

/* weir_block: run-time blocks, longest prefix; IPv4 prefixes as 96 + length. An expired entry blocks nothing. */
struct weir_block_key {
	__u32 prefixlen;
	struct weir_addr address;
};
struct weir_block {
	__u64 expires_ns; /* CLOCK_BOOTTIME; 0: never */
	__u64 since_ns;	  /* CLOCK_REALTIME */
	__u32 prefixlen;  /* the key's, so that a program can look for a shorter one */
	__u32 pad;
};
#define WEIR_MAX_BLOCKS (1 << 21)

/* weir_autoblk: sources that a limit's on_exceed blocks, for what that limit covers only. */
struct weir_autoblk_key {
	__u64 limit;  /* struct weir_limit.id */
	__u64 key[2]; /* the limiter's key; key[1] is 0 unless the limit is wide */
};
struct weir_autoblk {
	__u64 expires_ns; /* CLOCK_BOOTTIME */
};
#define WEIR_MAX_AUTOBLOCKS 65536

/*
 * weir_rulecnt, weir_limcnt, weir_rsncnt, weir_homecnt: per CPU. A packet is counted by exactly one rule (or default).
 * In weir_rulecnt and weir_rsncnt, what mode monitor lets through has passed, under the reason that would have dropped
 * it; homes and limits count what they decided.
 */
struct weir_count {
	__u64 passed_packets;
	__u64 passed_bytes;
	__u64 dropped_packets;
	__u64 dropped_bytes;
};
/* weir_homecnt: index WEIR_HOME_*: each (address, direction) is judged once, at its home. */
enum weir_home {
	WEIR_HOME_SELF_IN = 0,
	WEIR_HOME_SELF_OUT = 1,
	WEIR_HOME_WORKLOAD_IN = 2,
	WEIR_HOME_WORKLOAD_OUT = 3,
	WEIR_HOME_FORWARD = 4,
	WEIR_NR_HOMES = 8,
};

/* weir_books: per CPU, one entry: due = written + suppressed + lost_full + lost_no_reader. */
struct weir_books {
	__u64 due;
	__u64 written;
	__u64 suppressed;
	__u64 lost_full;
	__u64 lost_no_reader;
};
/* weir_reader: one entry, mmapable, written by the one reader: written = delivered + in_flight + lost_reader. */
struct weir_reader {
	__u64 delivered;
	__u64 lost_reader;
	__u64 pid;
	__u64 pad;
};
#define WEIR_EVENT_SOURCES \
	4096 /* weir_evlim: entry 0 limits all events, the others sources by hash */

/*
 * Every map: X(name, type, key, value, default entries). Per slot, the name gets the suffix _0 or _1.
 * Loader and programs declare from here; `bpftool map dump pinned` shows the types above through BTF.
 */
/* clang-format off */
#define WEIR_SLOT_MAPS(X)                                              \
	X(weir_cfg,   struct weir_config,  1)                            \
	X(weir_root,  struct weir_root,    WEIR_NR_ROOTS)                \
	X(weir_node,  struct weir_node,    1024)                         \
	X(weir_leaf,  struct weir_leaf,    1024)                         \
	X(weir_class, struct weir_class,   256)                          \
	X(weir_svc,   struct weir_service, WEIR_SVC_ENTRIES)             \
	X(weir_pair,  struct weir_dense,   1024)                         \
	X(weir_pairx, struct weir_exact,   1)                            \
	X(weir_cell,  struct weir_dense,   1024)                         \
	X(weir_cellx, struct weir_exact,   1)                            \
	X(weir_verd,  struct weir_verdict, 256)                          \
	X(weir_limit, struct weir_limit,   64)                           \
	X(weir_prot,  struct weir_protect, WEIR_MAX_PROTECTS)            \
	X(weir_rule,  struct weir_rule,    256)                          \
	X(weir_file,  struct weir_file,    16)                           \
	X(weir_text,  struct weir_text,    16)
/* clang-format on */

#endif
