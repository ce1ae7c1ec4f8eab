/// What must hold in every state and transition that can be reached.
public enum Property: String, CaseIterable, Sendable {
    /// See ``sentence``.
    case noHostAccessToPrivate = "no-host-access-to-private"
    /// See ``sentence``.
    case neverPrivateWhileHostMapped = "never-private-while-host-mapped"
    /// See ``sentence``.
    case neverPrivateWhileHeld = "never-private-while-held"
    /// See ``sentence``.
    case faultsObeyState = "faults-obey-state"
    /// See ``sentence``.
    case noUnderflow = "no-refcount-underflow"
    /// See ``sentence``.
    case noFreeWhileReferenced = "no-free-while-referenced"
    /// See ``sentence``.
    case noUseAfterFree = "no-use-after-free"
    /// See ``sentence``.
    case completesOnce = "completes-once"
    /// See ``sentence``.
    case handoverNotLost = "hand-over-not-lost"
    /// See ``sentence``.
    case noStrandedCaller = "no-stranded-caller"
    /// See ``sentence``.
    case noSelfDeadlock = "no-self-deadlock"
    /// See ``sentence``.
    case noDeadlock = "no-deadlock"
    /// See ``sentence``.
    case noLivelock = "no-livelock"
    /// See ``sentence``.
    case locksHeld = "documented-locks-held"
    /// See ``sentence``.
    case neverSleepsInAtomic = "never-sleeps-in-atomic"
    /// See ``sentence``.
    case refusalChangesNothing = "refusal-changes-nothing"
    /// See ``sentence``.
    case privateStaysPrivate = "request-is-idempotent"
    /// See ``sentence``.
    case answerNamesBlocker = "answer-names-first-blocker"
    /// See ``sentence``.
    case completedIsTrue = "completed-is-true"
    /// See ``sentence``.
    case noStaleContents = "no-stale-contents"
    /// See ``sentence``.
    case noWarning = "no-warning"

    /// What the property says.
    public var sentence: String {
        switch self {
        case .noHostAccessToPrivate: "The host never touches a page that the guest owns privately."
        case .neverPrivateWhileHostMapped: "A page is never private while a host page table maps it."
        case .neverPrivateWhileHeld: "A page does not become private while a pin that may touch it is held."
        case .faultsObeyState: "A fault maps a page only for somebody who may map it."
        case .noUnderflow: "No reference count falls below zero."
        case .noFreeWhileReferenced: "A folio is not freed while somebody refers to it or the file holds it."
        case .noUseAfterFree: "Nothing uses a folio that was freed or an inode that is gone."
        case .completesOnce: "A pending hand-over completes once: a completion finds the page in transit."
        case .handoverNotLost: "When all is done no registered hand-over is left over and no folio is leaked."
        case .noStrandedCaller: "Nobody waits for the end of a hand-over that was never registered."
        case .noSelfDeadlock: "Nobody takes a lock that it holds."
        case .noDeadlock: "There is always somebody who can go on until all are done."
        case .noLivelock: "From every state all operations can still come to their end."
        case .locksHeld:
            "The state is changed under the documented locks; nobody releases what it does not hold or keeps a lock."
        case .neverSleepsInAtomic: "No sleeping lock is taken where sleeping is forbidden; a final put never sleeps."
        case .refusalChangesNothing: "A request that was refused leaves the page as it was."
        case .privateStaysPrivate: "A request for private memory leaves a private page alone."
        case .answerNamesBlocker: "An answer other than success names the first page that did not get there."
        case .completedIsTrue: "A request that was answered with success, and that nobody undid, has taken effect."
        case .noStaleContents: "Nobody sees a page before it was zeroed."
        case .noWarning: "No WARN_ON_ONCE fires."
        }
    }

    /// Where the property, or the question that made it one, comes from.
    public var source: String {
        switch self {
        case .noHostAccessToPrivate, .neverPrivateWhileHostMapped, .neverPrivateWhileHeld, .faultsObeyState:
            "lore 20250117163001.2326672-1-tabba@google.com (cover: the guarantee); Shutemov on 5/15: is the check racy?"
        case .noUnderflow, .noFreeWhileReferenced, .noUseAfterFree:
            "lore diqz1pwbspzx.fsf@ackerleytng-ctop.c.googlers.com: truncation must restore the references"
        case .completesOnce: "Tng on 6/15: what does the callback assume about the state?"
        case .handoverNotLost: "Annapurve on 6/15: registration is a critical section of its own"
        case .noStrandedCaller: "Tng and Babka on 6/15: -EAGAIN although nothing was registered"
        case .noSelfDeadlock, .noDeadlock, .noLivelock: "Documentation/filesystems/locking.rst: invalidate_lock"
        case .locksHeld: "lore 20250117163001.2326672-7-tabba@google.com: the assertions in the code"
        case .neverSleepsInAtomic:
            "lore CAGtprH-aoUrAPAdTho7yeZL1dqz0yqvr0-v_-U1R9f+dTxOkMA@mail.gmail.com; "
                + "lore Z_FY62PJZmUfvRUZ@casper.infradead.org"
        case .refusalChangesNothing, .privateStaysPrivate, .answerNamesBlocker, .completedIsTrue:
            "lore 20260618-gmem-inplace-conversion-v8-0-9d2959357853: all or nothing, no-op, error_offset"
        case .noStaleContents: "lore 20250117163001.2326672-8-tabba@google.com: kvm_gmem_fault zeroes"
        case .noWarning: "lore 20250117163001.2326672-7-tabba@google.com: the warnings in the code"
        }
    }
}
