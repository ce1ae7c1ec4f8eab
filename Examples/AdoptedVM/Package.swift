// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "adopted-vm",
    dependencies: [
        // Outside of this repository: .package(url: "https://github.com/…/custody", from: "0.1.0")
        .package(name: "custody", path: "../..")
    ],
    targets: [
        .target(name: "CMachine"),
        .executableTarget(
            name: "AdoptedVM",
            dependencies: [
                "CMachine",
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyConfiguration", package: "custody"),
                .product(name: "CustodyOptions", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
                .product(name: "KVMBackend", package: "custody"),
            ]
        ),
    ]
)
