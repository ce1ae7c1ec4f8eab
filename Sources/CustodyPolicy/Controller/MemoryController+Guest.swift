public import Custody

extension MemoryController: GuestRequestHandler {
    /// Answers a guest. It gets as far as its request can go at once, and is told where to go on.
    public func handle(_ request: GuestRequest) -> GuestReply {
        guard callee == nil else { return .refused }
        let range: PageRange
        do {
            range = try PageRange(address: GuestPhysicalAddress(request.address), byteCount: request.byteCount)
        } catch {
            emit(.malformed(request, error))
            return .refused
        }
        let conversion = ConversionRequest(
            range,
            to: request.target,
            by: .guest(processor: request.processor),
            whenHeld: .handOver(deadline: limits.guestDeadline),
            extent: .prefix(
                maximumRuns: limits.runsPerGuestRequest,
                maximumPages: limits.pagesPerGuestRequest
            )
        )
        do {
            let outcome = try convert(conversion)
            guard let stop = outcome.stoppedAt else { return .done }
            if case .stopped(let error) = outcome.status { return reply(to: error, from: stop) }
            return .retry(from: stop.address)
        } catch {
            return reply(to: error, from: range.start)
        }
    }

    func reply(to error: ConversionError, from page: PageNumber) -> GuestReply {
        error.isTransient ? .retry(from: page.address) : .refused
    }
}

extension MemoryController: GuestQueryHandler {
    /// The run of pages in one ownership that `page` is in, within one region of RAM; `nil` where there is no RAM.
    ///
    /// - Complexity: O(log *n*) in the number of runs and regions.
    public func run(containing page: PageNumber) -> PageRun<Ownership>? {
        guard let region = layout.region(containing: page),
            let run = look({ $0.ownership.run(containing: page) }),
            let range = run.range.intersection(region)
        else { return nil }
        return PageRun(range: range, state: run.state)
    }
}
