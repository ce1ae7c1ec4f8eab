import Custody
import CustodyPolicy
import CustodyTestSupport
import GuestChannel
import SimulationBackend

/// A simulated guest of 64 pages at 1 MiB with a controller, and a session with it.
final class ChannelFixture {
    static let start: UInt64 = 0x10_0000

    let backend: SimulationBackend
    let controller: MemoryController
    var session = ChannelSession(granularity: .base)

    init(policy: any Policy = AllowAll(), limits: ControllerLimits = ControllerLimits()) throws {
        let layout = try GuestMemoryLayout(pages: 256..<320)
        backend = SimulationBackend(guest: GuestConfiguration(layout: layout), options: SimulationOptions())
        controller = MemoryController(backend: backend, policy: policy, limits: limits)
    }

    func greet() throws {
        _ = try answer(ChannelRequest.hello(lowest: 1, highest: 1, features: []).frame(id: 1))
    }

    /// The reply to a frame; there must be one.
    func answer(_ frame: ChannelFrame) throws -> ChannelReply {
        guard let answer = session.answer(frame, by: controller, queries: controller) else {
            throw BackendError(.system, "no answer")
        }
        guard answer.id == frame.id, answer.type == 0x80 else { throw BackendError(.system, "another answer") }
        return try ChannelReply(payload: answer.payload)
    }

    func ask(_ pages: Range<UInt64>, to target: Ownership) throws -> ChannelReply {
        let request = ChannelRequest.convert(
            address: ChannelFixture.start + pages.lowerBound * 4096,
            byteCount: (pages.upperBound - pages.lowerBound) * 4096,
            to: target
        )
        return try answer(request.frame(id: 77))
    }

    /// The ownership of every page, one letter each.
    var map: String {
        controller.runs(in: controller.layout.bounds).map { run in
            String(repeating: "\(run.state)".prefix(1).uppercased(), count: Int(run.range.count))
        }.joined()
    }
}
