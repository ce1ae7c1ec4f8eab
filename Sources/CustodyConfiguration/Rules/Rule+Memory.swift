import Custody
import CustodyOptions
import CustodyPolicy

/// Rules about which pages, and how many.
extension Rule {
    static let memory: [Rule] = [
        Rule(
            "protect",
            "Pages that never become what is named, whoever asks.",
            Format<[ProtectedRange]>
                .list(
                    of: .mapping(
                        .range,
                        .required("never", .set(of: ownership), "What the pages never become.")
                    ) { (range, never) in ProtectedRange(range, neverBecoming: never) }
                )
                .map { (ranges, _) in AllOf(ranges) }
        ),
        Rule(
            "shared-budget",
            "The most memory that the guest shares at a time.",
            Format<SharedBudget>.short(
                Format<UInt64>.pages().map { (pages, _) in SharedBudget(pages: pages) },
                or: .mapping(
                    .required("size", .pages(), "The most memory shared at a time: a multiple of 4 KiB."),
                    .defaulting(
                        "over",
                        Format<SharedBudget.Excess>.word(),
                        to: "defer",
                        "What becomes of a request for more: put off, cut to what is left, or denied."
                    )
                ) { (pages, excess) in SharedBudget(pages: pages, over: excess) }
            )
        ),
        Rule(
            "private-by-default",
            "Pages become shared inside of these windows only.",
            Format<SharingWindows>.mapping(
                .required("windows", .list(of: .range), "The windows; they may overlap.")
            ) { (windows: [PageRange]) in SharingWindows(windows) }
        ),
        Rule(
            "alignment",
            "The smallest pieces that ownership may come in.",
            Format<Alignment>.mapping(
                .defaulting("unit", .pageSize, to: "4KiB", "Both ends of a run lie on a boundary of this size."),
                .defaulting("minimum", Format<UInt64>.pages(atLeast: 1), to: "4KiB", "The smallest run.")
            ) { (unit: PageSize, pages: UInt64) in Alignment(unit: unit, minimumPages: pages) }
        ),
    ]

    /// What pages may be asked to become.
    static let ownership = Format<Ownership>.word([
        ("shared", .shared), ("private", .private), ("host", .host),
    ])
}

extension Format<PageSize> {
    /// The sizes of pages.
    static var pageSize: Format { word([("4KiB", .base), ("2MiB", .large), ("1GiB", .huge)]) }
}
