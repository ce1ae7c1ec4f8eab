import CGuestChannel
import Custody
import CustodyPolicy
import GuestChannel
import SimulationBackend

enum ChannelTarget {
    static func run(_ bytes: [UInt8]) throws(FuzzTarget.Failure) {
        let frames = decode(bytes, cutEvery: bytes.count)
        try FuzzTarget.require(frames == decode(bytes, cutEvery: 1), "where a stream is cut decides what is in it")
        try FuzzTarget.require(frames == decodeAsGuest(bytes), "host and guest do not read the same")
        guard let region = try? PageRange(start: PageNumber(512), count: 16),
            let layout = try? GuestMemoryLayout(regions: [region])
        else {
            throw FuzzTarget.Failure(description: "there is no guest")
        }
        let backend = SimulationBackend(guest: GuestConfiguration(layout: layout))
        let controller = MemoryController(backend: backend, policy: AllowAll())
        var session = ChannelSession(granularity: .base)
        for frame in frames {
            _ = try? ChannelResult(frame)
            guard let answer = session.answer(frame, by: controller, queries: controller) else { continue }
            try FuzzTarget.require(answer.id == frame.id, "an answer is to another request")
            try FuzzTarget.require(decode(answer.bytes, cutEvery: 7) == [answer], "an answer is no frame")
        }
        let after = controller.snapshot()
        try FuzzTarget.require(after.inconsistency == nil, after.inconsistency ?? "")
    }

    private static func decode(_ bytes: [UInt8], cutEvery size: Int) -> [ChannelFrame] {
        var decoder = ChannelDecoder()
        var frames: [ChannelFrame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            decoder.append(Array(rest.prefix(max(1, size))).span) { frames.append($0) }
            rest = rest.dropFirst(max(1, size))
        }
        return frames
    }

    private static func decodeAsGuest(_ bytes: [UInt8]) -> [ChannelFrame] {
        var decoder = guest_channel_decoder()
        var frames: [ChannelFrame] = []
        var rest = bytes[...]
        while true {
            var raw = guest_channel_frame()
            var taken = 0
            let found = unsafe rest.withUnsafeBufferPointer { buffer in
                unsafe guest_channel_decode(&decoder, buffer.baseAddress, buffer.count, &taken, &raw)
            }
            rest = rest.dropFirst(taken)
            guard found else { return frames }
            let payload = unsafe withUnsafeBytes(of: &raw.payload) { unsafe Array($0.prefix(Int(raw.length))) }
            if let frame = try? ChannelFrame(type: raw.type, id: raw.id, payload: payload) { frames.append(frame) }
        }
    }
}
