extension Story {
    /// A shortest story that still fails, as far as leaving steps out and making them smaller gets.
    ///
    /// - Complexity: O(*n*²) plays at worst, for *n* steps.
    func shrunk(_ fails: (Story) -> Bool) -> Story {
        var best = self
        var size = max(1, steps.count / 2)
        while true {
            var isBetter = false
            var index = 0
            while index < best.steps.count {
                var shorter = best
                shorter.steps.removeSubrange(index..<min(index + size, best.steps.count))
                if fails(shorter) { (best, isBetter) = (shorter, true) } else { index += size }
            }
            if size > 1 { size /= 2 } else if !isBetter { break }
        }
        for index in best.steps.indices {
            var isSmaller = true
            while isSmaller {
                let candidates = best.steps[index].smaller.map { smaller in
                    var simpler = best
                    simpler.steps[index] = smaller
                    return simpler
                }
                let next = candidates.first(where: fails)
                isSmaller = next != nil
                best = next ?? best
            }
        }
        for simplify in [{ $0.timeBox = nil }, { $0.budget = 64 }, { $0.zeroes = true }, { $0.passesHoles = false }]
            as [(inout Story) -> Void]
        {
            var simpler = best
            simplify(&simpler)
            if fails(simpler) { best = simpler }
        }
        return best
    }
}

extension Step {
    /// The same with fewer pages, or by somebody plainer.
    fileprivate var smaller: [Step] {
        func parts(_ pages: Range<Int>) -> [Range<Int>] {
            pages.count > 1 ? [pages.dropLast(), pages.dropFirst()].map { $0.startIndex..<$0.endIndex } : []
        }
        switch self {
        case .convert(let pages, let target, let requester, let patience, let isPrefix):
            var all = parts(pages).map { Step.convert($0, target, by: requester, patience, isPrefix: isPrefix) }
            if isPrefix { all.append(.convert(pages, target, by: requester, patience, isPrefix: false)) }
            return all
        case .lease(let pages, let kind, let yields):
            return parts(pages).map { .lease($0, kind, yields: yields) }
                + (yields ? [.lease(pages, kind, yields: false)] : [])
        case .discard(let pages): return parts(pages).map(Step.discard)
        case .release(let number) where number > 0: return [.release(0)]
        case .cancel(let number) where number > 0: return [.cancel(0)]
        default: return []
        }
    }
}
