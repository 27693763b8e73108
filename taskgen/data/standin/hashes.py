"""Content hashes of the stand-ins: results on other bytes are other results."""

from __future__ import annotations

HASHES = {
    "mnist": {
        "train": "b5ebd8a88264a4581921386bf153302ffe694782697c06c9bcaba548b936d865",
        "heldout": "ed276d8f52031007e799be6d3ea039651415ce5262ee850b166091e632e1b65e",
    },
    "fashion_mnist": {
        "train": "2616831e823420137fac1d063095bb80c2ccae9f0bd8596fa185918323869d78",
        "heldout": "496df2cd8da16696de5a5674e0d78877add339f6a5894616cbeb9e15c95fbae4",
    },
    "cifar10": {
        "train": "4be989887705cc8a4e7a1bea2fd44d32b48b26cf632b70e117147f8ed5a94326",
        "heldout": "f2bd89f61df38f51d1573b800a81e07d90db610b52a0bac957c30bade73a66cb",
    },
    "cifar100": {
        "train": "c04a3901677aa5c3ed43dc29522f0852f86ae100a518a7d8e38f6e8e9ee0f3f9",
        "heldout": "f92d95c3b3dd9f41f90d0df62b850529865d73604a09992b9978b94eb72f079c",
    },
    "food101_64": {
        "train": "e4790dc90cded2016187be6f0ae2f62f5c45a6d0d57f327e4b2dd8a7558dd45d",
        "heldout": "ba9600958a3b9804a48ba683898d305624c97c78df88c214c088c9e34462247f",
    },
    "imagenet16": {
        "train": "afc25b459c7f7770022db74117752edc3cb03eba87b46810790bec8d08b29b0b",
        "heldout": "9dc2d85961c206185fc2a9f11f92f6a972844e1359239669aed302f269605664",
    },
    "imagenet32": {
        "train": "3800d45105c37eabe7d624cf929c27a2dcfacd5c3725479399a2cd7245bc1245",
        "heldout": "61a41305282cbd63506e992508b2ca89097ce22b4858b5f74604cd71e7112c43",
    },
    "imagenet64": {
        "train": "c4b52575b3ccea23854a23e4c7fe8e2cdd31561ad114b3f76fbf2cd472878b8b",
        "heldout": "cf04c608ddff0be9e72c0a087cd2e8b7280969aa5d725cb0a1f7e0b80762aaba",
    },
    "lm1b_bytes": {
        "train": "75dbcef1132dbb535319f5ae079587a23f15e82576cf2e6382da958c35a832d8",
        "heldout": "273badfe3cf78dd9c2539fcdff0f5982c764f98cd97935ca44bca88cd19c1090",
    },
    "lm1b_32k": {
        "train": "4d018bcd9f7da380599f50e05714be5bdecedd99d8e4873eccf72b9cfc826653",
        "heldout": "2ee7a80024adce0581355795d45d001734b745d46034c590ef8737d4db8d7a5d",
    },
    "wikipedia_bytes": {
        "train": "a99a00659655b543feca539c9ac2f3f3bcac7bc4fbc2bcbeba51bccd5dd3f652",
        "heldout": "9fef9b9078eabbc6ffc980a2bc9453932a435dd05ba1a1ab01baf64a71d4539c",
    },
    "wikipedia_32k": {
        "train": "7835588e260e3e65a8a373882b625efa6ed38963931774ec9e6c01f3d3395daf",
        "heldout": "549c6c5e22f4569d1de859d7f7263d086a93e5c284d34ef8851e84a2f8eab3dc",
    },
}
