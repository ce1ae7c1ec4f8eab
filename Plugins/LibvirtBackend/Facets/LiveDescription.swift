#if Libvirt
package import Custody

/// What a domain is now: libvirt's description of what runs, read and never rewritten.
package struct LiveDescription: Sendable, Hashable {
    /// All of it.
    package let root: XMLElement

    /// A description that has been read.
    init(_ root: XMLElement) { self.root = root }

    /// Asks libvirt for the description of a domain that runs.
    ///
    /// - Throws: `BackendError` with code ``BackendError/Code/lost`` where the domain does not run.
    package init(of domain: borrowing Domain) throws(BackendError) {
        let text: String
        do throws(VirError) { text = try domain.describe() } catch {
            throw error.ofRunningDomain("the domain ‘\(domain.name)’ cannot be described")
        }
        try self.init(parsing: text)
        guard root["id"] != nil else { throw BackendError(.lost, "the domain ‘\(domain.name)’ does not run") }
    }

    /// Reads a description.
    ///
    /// - Throws: `BackendError` with code ``BackendError/Code/system`` where it is none.
    package init(parsing text: String) throws(BackendError) {
        do throws(XMLError) { root = try XMLElement(parsing: text) } catch {
            throw BackendError(.system, "libvirt's description of a domain cannot be read", cause: error)
        }
        guard root.name == "domain" else { throw BackendError(.system, "‘\(root.name)’ is no domain's description") }
    }

    /// The devices of one kind.
    package func devices(_ name: String) -> [XMLElement] { root.first("devices")?.elements(name) ?? [] }

    /// The memory devices of one model, with their aliases.
    package func memoryDevices(_ model: String) -> [(alias: String, device: XMLElement)] {
        devices("memory").compactMap { device in
            guard device["model"] == model, let alias = device.first("alias")?["name"] else { return nil }
            return (alias, device)
        }
    }

    /// Whether the guest has a balloon.
    package var hasBalloon: Bool { devices("memballoon").contains { $0["model"] != "none" } }

    /// The memory that the guest has without its memory devices, in bytes.
    package var baseMemory: UInt64 {
        let cells = root.first("cpu", "numa")?.elements("cell") ?? []
        let sizes = cells.compactMap { XMLElement.bytes($0["memory"], unit: $0["unit"]) }
        return cells.isEmpty ? root.first("memory")?.byteCount ?? 0 : sizes.reduce(0) { $0 &+ $1 }
    }

    /// QEMU's machine type, such as `pc-i440fx-7.2`.
    package var machine: String { root.first("os", "type")?["machine"] ?? "" }

    /// The guest's processor architecture.
    package var architecture: String { root.first("os", "type")?["arch"] ?? "" }
}

extension XMLElement {
    /// The content as a number of bytes, by the attribute `unit`; KiB where there is none. What libvirt writes is binary.
    var byteCount: UInt64? { XMLElement.bytes(content, unit: self["unit"]) }

    static func bytes(_ number: String?, unit: String?) -> UInt64? {
        let digits = (number ?? "").filter { !$0.isWhitespace }
        return ByteCount(text: "\(digits) \(unit ?? "KiB")")?.rawValue
    }

    /// A number in C's notation: decimal, or hexadecimal after `0x`.
    static func number(_ text: String?) -> UInt64? {
        guard let text else { return nil }
        return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    }

    /// The element with another one within changed; as it is where there is none at the path.
    func changing(_ path: ArraySlice<String>, _ change: (inout XMLElement) -> Void) -> XMLElement {
        var copy = self
        guard let name = path.first else {
            change(&copy)
            return copy
        }
        for index in copy.children.indices {
            guard case .element(let inner) = copy.children[index], inner.name == name else { continue }
            copy.children[index] = .element(inner.changing(path.dropFirst(), change))
            break
        }
        return copy
    }
}

#endif
