/// Who tells a guest what its pages are.
public protocol GuestQueryHandler: Sendable {
    /// The run of pages in one ownership that `page` is in, within one region of RAM; `nil` where there is no RAM.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    func run(containing page: PageNumber) -> PageRun<Ownership>?
}
