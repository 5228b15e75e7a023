# ruff: noqa: E501
"""The networks of ImageNet that two packages build: what each is fed, and where its weights are.

Image-classifiers has networks of its own and those of the older keras-applications; the names of
Keras' have ``keras_`` before them. Needs no Keras.
"""

from dataclasses import dataclass

from nn_clustering.errors import InvalidInputError, did_you_mean

IMAGE_CLASSIFIERS, KERAS = "image-classifiers", "keras"
N_CLASSES = 1000

_FOLDERS = {
    "qubvel": "https://github.com/qubvel/classification_models/releases/download/0.0.1",
    "keras-team/resnet": "https://github.com/keras-team/keras-applications/releases/download/resnet",
    "fchollet/v0.1": "https://github.com/fchollet/deep-learning-models/releases/download/v0.1",
    "keras-team/densenet": "https://github.com/keras-team/keras-applications/releases/download/densenet",
    "fchollet/v0.5": "https://github.com/fchollet/deep-learning-models/releases/download/v0.5",
    "fchollet/v0.4": "https://github.com/fchollet/deep-learning-models/releases/download/v0.4",
    "titu1994": "https://github.com/titu1994/Keras-NASNet/releases/download/v1.2",
    "fchollet/v0.6": "https://github.com/fchollet/deep-learning-models/releases/download/v0.6",
    "mitchell": "https://github.com/JonathanCMitchell/mobilenet_v2_keras/releases/download/v1.1",
    "fchollet/v0.7": "https://github.com/fchollet/deep-learning-models/releases/download/v0.7",
    "google/convnext": "https://storage.googleapis.com/tensorflow/keras-applications/convnext",
    "google/densenet": "https://storage.googleapis.com/tensorflow/keras-applications/densenet",
    "google": "https://storage.googleapis.com/keras-applications",
    "google/efficientnet_v2": "https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2",
    "google/inception_resnet_v2": "https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2",
    "google/inception_v3": "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3",
    "google/mobilenet": "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet",
    "google/mobilenet_v2": "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2",
    "google/mobilenet_v3": "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3",
    "google/nasnet": "https://storage.googleapis.com/tensorflow/keras-applications/nasnet",
    "google/resnet": "https://storage.googleapis.com/tensorflow/keras-applications/resnet",
    "google/vgg16": "https://storage.googleapis.com/tensorflow/keras-applications/vgg16",
    "google/vgg19": "https://storage.googleapis.com/tensorflow/keras-applications/vgg19",
    "google/xception": "https://storage.googleapis.com/tensorflow/keras-applications/xception",
}

# Name, builder in its package, height and width, preprocessing, the file of weights in one of those
# folders, and its MD5 or SHA-256, as the package has it: - where it has none.
_NETWORKS = """
resnet18                 resnet18           224 none  qubvel:resnet18_imagenet_1000.h5                                                     64da73012bb70e16c901316c201d9803
resnet34                 resnet34           224 none  qubvel:resnet34_imagenet_1000.h5                                                     2ac8277412f65e5d047f255bcbd10383
resnet50                 resnet50           224 none  qubvel:resnet50_imagenet_1000.h5                                                     d0feba4fc650e68ac8c19166ee1ba87f
resnet101                resnet101          224 none  qubvel:resnet101_imagenet_1000.h5                                                    9489ed2d5d0037538134c880167622ad
resnet152                resnet152          224 none  qubvel:resnet152_imagenet_1000.h5                                                    1efffbcc0708fb0d46a9d096ae14f905
seresnet18               seresnet18         224 none  qubvel:seresnet18_imagenet_1000.h5                                                   9a925fd96d050dbf7cc4c54aabfcf749
seresnet34               seresnet34         224 none  qubvel:seresnet34_imagenet_1000.h5                                                   863976b3bd439ff0cc05c91821218a6b
seresnet50               seresnet50         224 torch qubvel:seresnet50_imagenet_1000.h5                                                   ff0ce1ed5accaad05d113ecef2d29149
seresnet101              seresnet101        224 torch qubvel:seresnet101_imagenet_1000.h5                                                  5c31adee48c82a66a32dee3d442f5be8
seresnet152              seresnet152        224 torch qubvel:seresnet152_imagenet_1000.h5                                                  96fc14e3a939d4627b0174a0e80c7371
seresnext50              seresnext50        224 torch qubvel:seresnext50_imagenet_1000.h5                                                  5310dcd58ed573aecdab99f8df1121d5
seresnext101             seresnext101       224 torch qubvel:seresnext101_imagenet_1000.h5                                                 be5b26b697a0f7f11efaa1bb6272fc84
senet154                 senet154           224 torch qubvel:senet154_imagenet_1000.h5                                                     c8eac0e1940ea4d8a2e0b2eb0cdf4e75
resnet50v2               resnet50v2         224 tf    keras-team/resnet:resnet50v2_weights_tf_dim_ordering_tf_kernels.h5                   3ef43a0b657b3be2300d5770ece849e0
resnet101v2              resnet101v2        224 tf    keras-team/resnet:resnet101v2_weights_tf_dim_ordering_tf_kernels.h5                  6343647c601c52e1368623803854d971
resnet152v2              resnet152v2        224 tf    keras-team/resnet:resnet152v2_weights_tf_dim_ordering_tf_kernels.h5                  a49b44d1979771252814e80f8ec446f9
resnext50                resnext50          224 none  qubvel:resnext50_imagenet_1000.h5                                                    7c5c40381efb044a8dea5287ab2c83db
resnext101               resnext101         224 none  qubvel:resnext101_imagenet_1000.h5                                                   432536e85ee811568a0851c328182735
vgg16                    vgg16              224 caffe fchollet/v0.1:vgg16_weights_tf_dim_ordering_tf_kernels.h5                            64373286793e3c8b2b4e3219cbf3544b
vgg19                    vgg19              224 caffe fchollet/v0.1:vgg19_weights_tf_dim_ordering_tf_kernels.h5                            cbe5617147190e668d6c5d5026f83318
densenet121              densenet121        224 torch keras-team/densenet:densenet121_weights_tf_dim_ordering_tf_kernels.h5                9d60b8095a5708f2dcce2bca79d332c7
densenet169              densenet169        224 torch keras-team/densenet:densenet169_weights_tf_dim_ordering_tf_kernels.h5                d699b8f76981ab1b30698df4c175e90b
densenet201              densenet201        224 torch keras-team/densenet:densenet201_weights_tf_dim_ordering_tf_kernels.h5                1ceb130c1ea1b78c3bf6114dbdfd8807
inceptionv3              inceptionv3        299 tf    fchollet/v0.5:inception_v3_weights_tf_dim_ordering_tf_kernels.h5                     9a0d58056eeedaa3f26cb7ebd46da564
xception                 xception           299 tf    fchollet/v0.4:xception_weights_tf_dim_ordering_tf_kernels.h5                         0a58e3b7378bc2990ea3b43d5981f1f6
nasnetlarge              nasnetlarge        331 tf    titu1994:NASNet-large.h5                                                             11577c9a518f0070763c2b964a382f17
nasnetmobile             nasnetmobile       224 tf    titu1994:NASNet-mobile.h5                                                            020fb642bf7360b370c678b08e0adf61
mobilenet                mobilenet          224 tf    fchollet/v0.6:mobilenet_1_0_224_tf.h5                                                -
mobilenetv2              mobilenetv2        224 tf    mitchell:mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5                  -
inceptionresnetv2        inceptionresnetv2  299 tf    fchollet/v0.7:inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5              e693bd0210a403b3192acc6073ad2e96
keras_convnextbase       ConvNeXtBase       224 none  google/convnext:convnext_base.h5                                                     52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6
keras_convnextlarge      ConvNeXtLarge      224 none  google/convnext:convnext_large.h5                                                    070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6
keras_convnextsmall      ConvNeXtSmall      224 none  google/convnext:convnext_small.h5                                                    ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c
keras_convnexttiny       ConvNeXtTiny       224 none  google/convnext:convnext_tiny.h5                                                     8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff
keras_convnextxlarge     ConvNeXtXLarge     224 none  google/convnext:convnext_xlarge.h5                                                   c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee
keras_densenet121        DenseNet121        224 torch google/densenet:densenet121_weights_tf_dim_ordering_tf_kernels.h5                    9d60b8095a5708f2dcce2bca79d332c7
keras_densenet169        DenseNet169        224 torch google/densenet:densenet169_weights_tf_dim_ordering_tf_kernels.h5                    d699b8f76981ab1b30698df4c175e90b
keras_densenet201        DenseNet201        224 torch google/densenet:densenet201_weights_tf_dim_ordering_tf_kernels.h5                    1ceb130c1ea1b78c3bf6114dbdfd8807
keras_efficientnetb0     EfficientNetB0     224 none  google:efficientnetb0.h5                                                             902e53a9f72be733fc0bcb005b3ebbac
keras_efficientnetb1     EfficientNetB1     240 none  google:efficientnetb1.h5                                                             1d254153d4ab51201f1646940f018540
keras_efficientnetb2     EfficientNetB2     260 none  google:efficientnetb2.h5                                                             b15cce36ff4dcbd00b6dd88e7857a6ad
keras_efficientnetb3     EfficientNetB3     300 none  google:efficientnetb3.h5                                                             ffd1fdc53d0ce67064dc6a9c7960ede0
keras_efficientnetb4     EfficientNetB4     380 none  google:efficientnetb4.h5                                                             18c95ad55216b8f92d7e70b3a046e2fc
keras_efficientnetb5     EfficientNetB5     456 none  google:efficientnetb5.h5                                                             ace28f2a6363774853a83a0b21b9421a
keras_efficientnetb6     EfficientNetB6     528 none  google:efficientnetb6.h5                                                             165f6e37dce68623721b423839de8be5
keras_efficientnetb7     EfficientNetB7     600 none  google:efficientnetb7.h5                                                             8c03f828fec3ef71311cd463b6759d99
keras_efficientnetv2b0   EfficientNetV2B0   224 none  google/efficientnet_v2:efficientnetv2-b0.h5                                          21ecbf6da12460d5c40bb2f29ceb2188
keras_efficientnetv2b1   EfficientNetV2B1   240 none  google/efficientnet_v2:efficientnetv2-b1.h5                                          069f0534ff22adf035c89e2d9547a9dc
keras_efficientnetv2b2   EfficientNetV2B2   260 none  google/efficientnet_v2:efficientnetv2-b2.h5                                          424e49f28180edbde1e94797771950a7
keras_efficientnetv2b3   EfficientNetV2B3   300 none  google/efficientnet_v2:efficientnetv2-b3.h5                                          1f1fc43bd98a6e4fd8fdfd551e02c7a0
keras_efficientnetv2l    EfficientNetV2L    480 none  google/efficientnet_v2:efficientnetv2-l.h5                                           27e6d408b53c7ebc868fefa357689935
keras_efficientnetv2m    EfficientNetV2M    480 none  google/efficientnet_v2:efficientnetv2-m.h5                                           a3bf6aa3276309f4fc6a34aa114c95cd
keras_efficientnetv2s    EfficientNetV2S    384 none  google/efficientnet_v2:efficientnetv2-s.h5                                           e1d88a8495beba45748fedd0cecbe016
keras_inceptionresnetv2  InceptionResNetV2  299 tf    google/inception_resnet_v2:inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5 e693bd0210a403b3192acc6073ad2e96
keras_inceptionv3        InceptionV3        299 tf    google/inception_v3:inception_v3_weights_tf_dim_ordering_tf_kernels.h5               9a0d58056eeedaa3f26cb7ebd46da564
keras_mobilenet          MobileNet          224 tf    google/mobilenet:mobilenet_1_0_224_tf.h5                                             -
keras_mobilenetv2        MobileNetV2        224 tf    google/mobilenet_v2:mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5       -
keras_mobilenetv3large   MobileNetV3Large   224 none  google/mobilenet_v3:weights_mobilenet_v3_large_224_1.0_float.h5                      59e551e166be033d707958cf9e29a6a7
keras_mobilenetv3small   MobileNetV3Small   224 none  google/mobilenet_v3:weights_mobilenet_v3_small_224_1.0_float.h5                      8768d4c2e7dee89b9d02b2d03d65d862
keras_nasnetlarge        NASNetLarge        331 tf    google/nasnet:NASNet-large.h5                                                        11577c9a518f0070763c2b964a382f17
keras_nasnetmobile       NASNetMobile       224 tf    google/nasnet:NASNet-mobile.h5                                                       020fb642bf7360b370c678b08e0adf61
keras_resnet101          ResNet101          224 caffe google/resnet:resnet101_weights_tf_dim_ordering_tf_kernels.h5                        f1aeb4b969a6efcfb50fad2f0c20cfc5
keras_resnet101v2        ResNet101V2        224 tf    google/resnet:resnet101v2_weights_tf_dim_ordering_tf_kernels.h5                      6343647c601c52e1368623803854d971
keras_resnet152          ResNet152          224 caffe google/resnet:resnet152_weights_tf_dim_ordering_tf_kernels.h5                        100835be76be38e30d865e96f2aaae62
keras_resnet152v2        ResNet152V2        224 tf    google/resnet:resnet152v2_weights_tf_dim_ordering_tf_kernels.h5                      a49b44d1979771252814e80f8ec446f9
keras_resnet50           ResNet50           224 caffe google/resnet:resnet50_weights_tf_dim_ordering_tf_kernels.h5                         2cb95161c43110f7111970584f804107
keras_resnet50v2         ResNet50V2         224 tf    google/resnet:resnet50v2_weights_tf_dim_ordering_tf_kernels.h5                       3ef43a0b657b3be2300d5770ece849e0
keras_vgg16              VGG16              224 caffe google/vgg16:vgg16_weights_tf_dim_ordering_tf_kernels.h5                             64373286793e3c8b2b4e3219cbf3544b
keras_vgg19              VGG19              224 caffe google/vgg19:vgg19_weights_tf_dim_ordering_tf_kernels.h5                             cbe5617147190e668d6c5d5026f83318
keras_xception           Xception           299 tf    google/xception:xception_weights_tf_dim_ordering_tf_kernels.h5                       0a58e3b7378bc2990ea3b43d5981f1f6
"""


@dataclass(frozen=True)
class ImageNetNetwork:
    """A network of ImageNet.

    Attributes:
        name: By which it is asked for.
        package: That builds it: ``image-classifiers`` or ``keras``.
        builder: What builds it there.
        size: Height and width of the images that it was made for.
        preprocessing: What it is fed: ``none`` (0 to 255), ``caffe``, ``torch`` or ``tf``.
        weights_url: Address of the weights that it was trained to.
        checksum: Of that file: MD5 or SHA-256, in hexadecimal; None where none is published.
    """

    name: str
    package: str
    builder: str
    size: int
    preprocessing: str
    weights_url: str
    checksum: str | None

    @property
    def weights_file(self) -> str:
        """The name of the file of weights in the folder of weights.

        That of its address, unless another file could have it and nobody could tell.
        """
        return f"{self.name}.h5" if self.checksum is None else self.weights_url.rsplit("/", 1)[-1]


def imagenet_network_names() -> list[str]:
    """Return the names of all networks of ImageNet."""
    return [network.name for network in _networks()]


def imagenet_network(name: str) -> ImageNetNetwork:
    """Return what is known of a network of ImageNet.

    Raises:
        InvalidInputError: If there is none of that name.
    """
    found = next((network for network in _networks() if network.name == name), None)
    if found is None:
        names = imagenet_network_names()
        own = [known for known in names if not known.startswith("keras_")]
        raise InvalidInputError(
            f"network.name={name!r} is no network of ImageNet{did_you_mean(str(name), names)}; "
            f"expected one of {', '.join(own)}, or one of Keras', such as keras_resnet50"
        )
    return found


def _networks() -> list[ImageNetNetwork]:
    return [_network(line.split()) for line in _NETWORKS.strip().splitlines()]


def _network(row: list[str]) -> ImageNetNetwork:
    name, builder, size, preprocessing, file, checksum = row
    folder, file_name = file.split(":")
    return ImageNetNetwork(
        name,
        KERAS if name.startswith("keras_") else IMAGE_CLASSIFIERS,
        builder,
        int(size),
        preprocessing,
        f"{_FOLDERS[folder]}/{file_name}",
        None if checksum == "-" else checksum,
    )
