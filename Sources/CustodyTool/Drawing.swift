package import CustodyPolicy
package import CustodyTrace

/// All ways to draw ownership, for whoever is not the tool.
package enum Drawing {
    /// The map with colours and without, and the drawing.
    package static func all(of snapshot: ControllerSnapshot) -> [String] { all(OwnershipPicture(snapshot)) }

    /// The same of what the lines of a trace come to.
    package static func all(of account: borrowing TraceAccount) -> [String] {
        all(OwnershipPicture(account.model, title: "trace"))
    }

    private static func all(_ picture: OwnershipPicture) -> [String] {
        [true, false].map { OwnershipMap(picture, width: 80, isColoured: $0).text } + [OwnershipDrawing(picture).text]
    }
}
