import Custody
package import CustodyOptions
package import CustodyPolicy

/// What a section `limits` may be. What is left out is as in `ControllerLimits`.
package enum LimitsFormat {
    private static let standard = ControllerLimits()

    package static let format = Format<ControllerLimits>.mapping(
        .defaulting(
            "pending",
            .integer(in: 0...65536),
            to: "\(standard.pendingHandovers)",
            "The most hand-overs that the guest has pending at a time."
        ),
        .defaulting(
            "pending-in-total",
            .integer(in: 0...1_048_576),
            to: "\(standard.pendingInTotal)",
            "The most hand-overs that are pending at a time, whoever asked for them."
        ),
        .defaulting(
            "runs-per-request",
            .integer(in: 1...65536),
            to: "\(standard.runsPerGuestRequest)",
            "The most runs that one request of the guest changes; it is told to go on from there."
        ),
        .defaulting(
            "bytes-per-request",
            Format<UInt64>.pages(atLeast: 1),
            to: ByteCount.text(ofPages: standard.pagesPerGuestRequest),
            "The most memory that one request of the guest covers, but at least one chunk; it is told to go on from there."
        ),
        .optional(
            "guest-deadline",
            .duration(),
            "The time after which a hand-over that the guest asked for is given up; never unless named."
        ),
        .defaulting("holes", holes, to: "reject", "What becomes of requests that reach beyond RAM.")
    ) { (pending, total, runs, pages, deadline, holes) in
        ControllerLimits(
            pendingHandovers: pending,
            pendingInTotal: total,
            runsPerGuestRequest: runs,
            pagesPerGuestRequest: pages,
            guestDeadline: deadline,
            holes: holes
        )
    }

    private static let holes = Format<HoleRule>.short(
        .word([("reject", .reject), ("ignore", .ignore)]),
        or: .mapping(
            .required("limit", .pages(), "The most that is passed over: a multiple of 4 KiB.")
        ) { (pages: UInt64) in .limit(pages: pages) }
    )
}
