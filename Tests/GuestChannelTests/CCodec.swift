import CGuestChannel
import GuestChannel

/// The codec that guests are built with.
enum CCodec {
    static func encode(_ frame: ChannelFrame) -> [UInt8] {
        var raw = guest_channel_frame()
        raw.type = frame.type
        raw.id = frame.id
        raw.length = UInt16(frame.payload.count)
        unsafe withUnsafeMutableBytes(of: &raw.payload) { unsafe $0.copyBytes(from: frame.payload) }
        return unsafe [UInt8](unsafeUninitializedCapacity: ChannelFrame.maximumSize) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            unsafe count = guest_channel_encode(&raw, start)
        }
    }

    /// The frames of a stream that comes in parts of the given sizes, the last one taking the rest.
    static func decode(_ bytes: [UInt8], parts: [Int] = []) -> [ChannelFrame] {
        var decoder = guest_channel_decoder()
        var frames: [ChannelFrame] = []
        for part in split(bytes, parts) {
            var rest = part[...]
            while true {
                var raw = guest_channel_frame()
                var taken = 0
                let found = unsafe rest.withUnsafeBufferPointer { buffer in
                    unsafe guest_channel_decode(&decoder, buffer.baseAddress, buffer.count, &taken, &raw)
                }
                rest = rest.dropFirst(taken)
                guard found else { break }
                let payload = unsafe withUnsafeBytes(of: &raw.payload) { unsafe Array($0.prefix(Int(raw.length))) }
                if let frame = try? ChannelFrame(type: raw.type, id: raw.id, payload: payload) { frames.append(frame) }
            }
        }
        return frames
    }

    static func split(_ bytes: [UInt8], _ parts: [Int]) -> [[UInt8]] {
        var rest = bytes[...]
        var result: [[UInt8]] = []
        for part in parts {
            result.append(Array(rest.prefix(part)))
            rest = rest.dropFirst(part)
        }
        return result + [Array(rest)]
    }
}

extension ChannelDecoder {
    /// The frames of a stream that comes in parts of the given sizes, the last one taking the rest.
    static func decode(_ bytes: [UInt8], parts: [Int] = []) -> [ChannelFrame] {
        var decoder = ChannelDecoder()
        return CCodec.split(bytes, parts).flatMap { decoder.frames(in: $0) }
    }

    mutating func frames(in bytes: [UInt8]) -> [ChannelFrame] {
        var frames: [ChannelFrame] = []
        append(bytes.span) { frames.append($0) }
        return frames
    }
}
