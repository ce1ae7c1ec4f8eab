public import Custody

/// Private by default: pages become shared inside of listed windows, and nowhere else.
public struct SharingWindows: Policy {
    /// The windows, from low to high; they neither overlap nor touch.
    public let windows: [PageRange]

    /// Allows sharing inside of these pages. Windows that overlap or touch are one; without any, nothing is shared.
    ///
    /// - Complexity: O(*n* log *n*).
    public init(_ windows: [PageRange]) {
        var merged: [PageRange] = []
        for window in windows.sorted(by: { $0.start < $1.start }) {
            guard let last = merged.last, last.end >= window.start.rawValue else {
                merged.append(window)
                continue
            }
            let end = max(last.end, window.end)
            merged[merged.count - 1] = PageRange(
                uncheckedStart: last.start.rawValue,
                count: end - last.start.rawValue
            )
        }
        self.windows = merged
    }

    /// Denies a request to share a page of RAM outside of the windows.
    ///
    /// - Complexity: O(*k* log *n*) for *k* pieces of RAM in the request and *n* windows.
    public func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        guard request.target == .shared else { return .allow }
        for piece in view.layout.memory(in: request.range) where !isOpen(piece) {
            return .deny(PolicyReason(rule: "private-by-default", "\(piece) is not inside of a window for sharing"))
        }
        return .allow
    }

    private func isOpen(_ piece: PageRange) -> Bool {
        var low = 0
        var high = windows.count
        while low < high {
            let middle = (low + high) / 2
            if windows[middle].end <= piece.start.rawValue { low = middle + 1 } else { high = middle }
        }
        return low < windows.count && windows[low].contains(piece)
    }
}
