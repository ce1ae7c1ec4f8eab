import Custody
import CustodyPolicy
import CustodyTestSupport
import Testing

/// What is named must match; what is not named matches everything.
@Suite struct RequestMatcherTests {
    private func request(
        _ pages: Range<UInt64>,
        to target: Ownership = .shared,
        by requester: Requester = .guest(processor: 0)
    ) throws -> ConversionRequest {
        ConversionRequest(try PageRange(pages: pages), to: target, by: requester)
    }

    @Test func nothingNamedMatchesEverything() throws {
        #expect(RequestMatcher().matches(try request(0..<1)))
        #expect(RequestMatcher().matches(try request(0..<1, to: .host, by: .host("vmm"))))
    }

    @Test func requesters() throws {
        let matcher = RequestMatcher(requesters: [.guest])
        #expect(matcher.matches(try request(0..<1)))
        #expect(!matcher.matches(try request(0..<1, by: .host("vmm"))))
        #expect(!matcher.matches(try request(0..<1, by: .timeBox)))
    }

    @Test func targets() throws {
        let matcher = RequestMatcher(targets: [.shared, .host])
        #expect(matcher.matches(try request(0..<1, to: .shared)))
        #expect(matcher.matches(try request(0..<1, to: .host)))
        #expect(!matcher.matches(try request(0..<1, to: .private)))
    }

    @Test func within() throws {
        let matcher = RequestMatcher(within: try PageRange(pages: 10..<20))
        for pages in [10..<20, 10..<11, 19..<20] as [Range<UInt64>] { #expect(matcher.matches(try request(pages))) }
        for pages in [9..<20, 10..<21, 0..<1, 20..<21, 0..<64] as [Range<UInt64>] {
            #expect(!matcher.matches(try request(pages)), "\(pages)")
        }
    }

    @Test func meeting() throws {
        let matcher = RequestMatcher(meeting: try PageRange(pages: 10..<20))
        for pages in [10..<20, 0..<11, 19..<64, 0..<64] as [Range<UInt64>] {
            #expect(matcher.matches(try request(pages)))
        }
        for pages in [0..<10, 20..<64] as [Range<UInt64>] { #expect(!matcher.matches(try request(pages)), "\(pages)") }
    }
}
