/** The static limits of the target's admin side, with their arithmetic. */

/** Entries of a submission queue. CAP.MQES says one less. */
export const maxQueueEntries = 1024;

/** I/O queues of a controller; the native limit of `ControllerOptions`. */
export const maxIoQueues = 128;

/** Asynchronous Event Requests a host may park. AERL says one less. */
export const maxAsyncEvents = 4;

/** Largest transfer of one command: 2^8 pages of 4 KiB. MDTS is that exponent. */
export const mdtsExponent = 8;
export const maxTransferBytes = 4096 << mdtsExponent;

/** Copy: source ranges (MSRC says one less), bytes of each (MSSRL) and together (MCL). */
export const copyRanges = 128;
export const copyRangeBytes = maxTransferBytes;
export const copyBytes = 16 * 1024 * 1024;

/** Data that a command capsule may carry along; IOCCSZ counts it and the 64-byte entry. */
export const inCapsuleDataBytes = 8192;

/**
 * Namespaces of one subsystem (MNAN). A host reserves room for the whole ANA log, which must fit
 * one transfer: 16 + 128 × 32 + 16,384 × 4 = 69,648 bytes, well under 1 MiB.
 */
export const maxNamespaces = 16_384;

/**
 * The largest NSID (NN). NSIDs ascend and one is handed out again only after this many, so that a
 * host never takes a new volume for a deleted one that it still remembers.
 */
export const maxNsid = 1_048_576;

/** ANA groups (ANAGRPMAX and NANAGRPID). */
export const maxAnaGroups = 128;

/** Seconds an ANA state 'change' may last (ANATT). */
export const anaTransitionSeconds = 10;

/** Granularity of Keep Alive in units of 100 ms (KAS): 1 s. */
export const keepAliveGranularity = 10;

/** A discovery controller without Keep Alive ends after two quiet minutes (Base 3.1.2.3). */
export const discoveryActivityMs = 120_000;

/** Entries kept of a controller's error log. ELPE says one less. */
export const errorLogEntries = 64;

/** Entries of the Changed Namespace List; one more change makes it "all" (Base 5.16.1.5). */
export const changedNamespacesMax = 1024;

/** Controllers of all subsystems of a node; more Connects get Controller Busy. */
export const maxControllers = 4096;

/**
 * Discovery controllers: of the node, of one HOSTNQN, and of one address of hosts. Anyone may ask
 * for discovery under any name, so that these are less than {@link maxControllers}: I/O always has
 * 3,072. A host has one a portal, and for a while those of a connection that it lost.
 */
export const maxDiscoveryControllers = 1024;
export const maxDiscoveryControllersPerHost = 64;
export const maxDiscoveryControllersPerAddress = 256;

/**
 * Controllers whose host has still to authenticate: of the node, and of one address of hosts. They
 * last for {@link authenticationMs} at most, and anyone may have one who knows a host's name.
 */
export const maxAwaitedControllers = 512;
export const maxAwaitedControllersPerAddress = 64;

/** A transaction of authentication, from Negotiate on, and of queue pairs until it is done. */
export const authenticationMs = 30_000;

/**
 * PSKs that hosts generate: of the node, and of one host in one subsystem. A host needs one for
 * each of its controllers, of which it has one a portal (64 at most), and a moment longer those
 * that it gives up; the node has 4,096 controllers.
 */
export const maxGeneratedPsks = 4096;
export const maxGeneratedPsksPerHost = 64;

/**
 * How long a generated PSK lasts while nobody is connected by it: from the end of the
 * authentication until the host is there over TLS, and from a lost connection until it is back.
 */
export const generatedPskMs = 60_000;

/** Bytes of an NQN without its terminator (Base 4.5). */
export const maxNqnBytes = 223;
