#include "picture.hpp"

#include <stdexcept>
#include <utility>

#if defined(RTMPOSE_OPENCV)
#include <opencv2/imgcodecs.hpp>

Picture read_picture(const std::string& file) {
    const cv::Mat picture = cv::imread(file, cv::IMREAD_COLOR);
    if (picture.empty()) throw std::runtime_error(file + ": not a picture that can be read");
    return {picture.rows, picture.cols, {picture.data, picture.data + picture.total() * 3}};
}
#else
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_FAILURE_USERMSG
#include <stb/stb_image.h>

Picture read_picture(const std::string& file) {
    int width = 0, height = 0, channels = 0;
    unsigned char* rgb = stbi_load(file.c_str(), &width, &height, &channels, 3);
    if (rgb == nullptr) throw std::runtime_error(file + ": not a picture that can be read: " + stbi_failure_reason());
    const std::size_t size = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
    Picture picture{height, width, {rgb, rgb + size}};
    stbi_image_free(rgb);
    for (std::size_t i = 0; i < size; i += 3) std::swap(picture.bgr[i], picture.bgr[i + 2]);
    return picture;
}
#endif
