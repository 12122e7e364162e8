# doublevit with everything that it needs. Build for the CPU, or for CUDA with the tag of PyTorch's wheels:
#
#   docker build --tag doublevit .
#   docker build --tag doublevit:cuda --build-arg TORCH=cu130 .
#   docker run --rm --volume "$PWD:/work" doublevit run digits-double
FROM python:3.12-slim

ARG TORCH=cpu
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
# torch comes from PyTorch's own index, as PyPI has one build only; its layer stays while only our code changes.
RUN pip install --no-cache-dir --constraint constraints.txt \
    --index-url "https://download.pytorch.org/whl/${TORCH}" torch torchvision
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt . \
    && useradd --create-home --uid 1000 user \
    && mkdir /work \
    && chown user /work

USER 1000
WORKDIR /work
ENTRYPOINT ["doublevit"]
CMD ["--help"]
